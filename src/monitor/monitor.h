// The monitor: the parent of one container. It holds its output, log, exit code and restarts, and
// answers clients. One thread, one loop, which several monitors can share (those of a pod); see
// docs of attach.h and record.h for what it shows outside.
//
//   prepare()  lock, record, log, socket
//   create()   the container and its network, up to the moment before its program runs
//   start()    its program runs; from here on the loop serves it
//   hold()     instead: it waits, and a client starts it
//   on_ended   the container has ended for good
//   leave()    exit code to the clients, last words to status.json, --rm
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "monitor/client.h"
#include "monitor/log_file.h"
#include "monitor/record.h"
#include "monitor/start_request.h"
#include "payload/prepare.h"

namespace trivet::monitor {

enum class Timer { kTimeout, kGrace, kDrain, kRestart, kTrim };

// A namespace that the container does not get of its own: its path in the specification.
struct JoinedNamespace {
  oci::NamespaceType type = oci::NamespaceType::kNetwork;
  std::string path;
};

struct MonitorOptions {
  Directories directories;
  std::string id;
  UniqueFd attach;        // the foreground client; may be invalid
  bool hold = false;      // MonitorStart::hold, for run_monitor()
  UniqueFd network = {};  // a namespace made ahead, for its first start; may be invalid
  // Of the pod that it is in; may be empty.
  std::vector<JoinedNamespace> joined;
  // In the machine of a pod that is one microVM: it outlives the monitor. Else null.
  const payload::MachineSeat* seat = nullptr;
  // Called from the loop: after it the container is not started again, and leave() is due.
  std::function<void()> on_ended;
  // Called from the loop when a restart policy has started it again.
  std::function<void()> on_restarted;
  // Called when it has ended and will be started again.
  std::function<void(int exit_code)> on_exit;
};

class Monitor {
 public:
  // The loop outlives it, and knows nothing of it any more once leave() has been called.
  Monitor(MonitorOptions options, EventLoop& loop) : options_(std::move(options)), loop_(loop) {}
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;
  ~Monitor() = default;

  Result<> prepare();
  // A failure of either leaves nothing of the container, and is noted in its status.
  Result<> create();
  Result<> start();
  // After create(): from here on the loop serves a container that waits for kStart. One that ends
  // before leaves nothing.
  Result<> hold();
  void leave();

  // Sends the stop signal (0: the container's own), and SIGKILL after the grace.
  Result<> request_stop(int signal, std::optional<std::chrono::milliseconds> grace);
  // As if its program had ended by itself: the restart policy applies. For liveness probes.
  Result<> end_for_restart(std::chrono::milliseconds grace);

  [[nodiscard]] const Record& record() const { return record_; }
  [[nodiscard]] const Status& status() const { return status_; }
  // While it runs, or has been created; else null.
  [[nodiscard]] const container::Container* container() const {
    return life_ && life_->container ? &*life_->container : nullptr;
  }
  // Its init, which nobody else may reap; 0: none.
  [[nodiscard]] pid_t init() const;

 private:
  // One start of the container.
  struct Life {
    std::optional<container::Container> container;
    std::optional<ProcessId> pasta;
    UniqueFd to_stdin;     // with a terminal a duplicate of the master
    UniqueFd from_stdout;  // with a terminal the master
    UniqueFd from_stderr;
    UniqueFd oom;                              // of a scope: readable when memory has run out
    UniqueFd report;                           // of a Wasm host or a VMM
    std::optional<payload::Prepared> payload;  // until settle()
    UniqueFd mounts;                           // the namespace, see keep_mounts()
    bool ends_with_init = false;               // see ends_with_init()
    UniqueFd vm_network;
    EventLoop::Clock::time_point begun;
    bool init_ended = false;
    int exit_code = 0;
    bool stdin_watched = false;
    bool output_paused = false;
  };
  struct PendingInput {
    int client_fd = -1;  // gets the credit; -1: it has gone
    std::string data;
    size_t done = 0;
  };

  // --- monitor.cc
  Result<> clear_leftovers() const;
  void save_status();
  void note_failed_start(const Error& error);

  // --- monitor_run.cc
  Result<> create_life();
  Result<> start_life();
  Result<> create_container(Life& life);
  std::unexpected<Error> abandon(Error cause);
  bool came_from_bad_template(const Error& error);
  Result<> take_terminal(Life& life);
  void note_running();
  Result<> watch_init();
  Result<> watch_life();
  Result<> watch_memory();
  void settle();
  void settle_in(std::chrono::milliseconds delay);
  void handle_output(Stream stream);
  bool read_output(UniqueFd& from, Stream stream);
  void pause_output();
  void resume_output();
  void init_ended();
  void drain_for(std::chrono::milliseconds patience);
  void finish_if_drained();
  void end_life();
  void restart_or_stop(const Life& ended);
  void relaunch();
  void end_for_good();
  Result<> end_by(int signal, std::chrono::milliseconds patience);
  void kill_everything();
  Result<> forward_signal(int signal);
  Result<> pause();
  Result<> resume();

  // --- monitor_payload.cc
  Result<> prepare_payload(const oci::Spec& spec, const std::string& bundle, Life& life);
  Result<> start_vm_network(Life& life, payload::VmRequest& request);
  void note_report(const Life& ended);
  void note_vm_boot(const Life& life);
  void note_vm_report(const Life& ended);

  // --- monitor_hold.cc
  Result<> start_held(int client_fd, std::string_view payload);
  Result<> become_taken(const StartRequest& request);
  Result<> run_taken();
  void end_waiting();
  void waiting_ended();
  void leave_pool() const;

  // --- monitor_clients.cc
  Result<> add_client(UniqueFd fd, Client::Kind kind);
  void accept_clients();
  void handle_client(int fd, uint32_t events);
  bool read_client(Client& client);
  void handle_message(Client& client, const Message& message);
  Result<> handle_request(int client_fd, const Message& message);
  void add_input(Client& client, std::string_view data);
  void write_input();
  void close_input();
  void update_input_watch();
  void resize(WindowSize size);
  Client* find_client(int fd);
  void drop_client(int fd);
  void send_to(Client& client, std::string_view frame);
  void broadcast(std::string_view frame, bool output_only);
  void say_goodbye(std::string_view frame);
  [[nodiscard]] bool foreground_waits() const;

  MonitorOptions options_;
  EventLoop& loop_;
  UniqueFd lock_;
  UniqueFd listener_;
  Record record_;
  Status status_;
  std::optional<LogWriter> log_;
  std::list<Client> clients_;
  std::vector<int> recipients_;  // of broadcast(), kept to save allocations
  std::optional<Life> life_;
  std::optional<Life> past_;  // until everybody has heard of the end, see settle()
  std::optional<container::Container> remains_;  // to be removed then
  std::deque<PendingInput> input_;
  bool input_ended_ = false;
  std::optional<WindowSize> window_;
  std::chrono::milliseconds backoff_{0};
  bool waits_ = false;  // for a kStart: see hold()
  bool timed_out_ = false;
  bool left_ = false;
  bool boots_ = false;             // no template for a microVM: one did not come back
  std::vector<ProcessId> strays_;  // pasta processes that were told to end
};

}  // namespace trivet::monitor
