// The monitor: the parent of one container. It holds its output, log, exit code and restarts, and
// answers clients. One thread, one loop; see docs of attach.h and record.h for what it shows
// outside.
//
//   prepare()  lock, record, log, socket
//   start()    create the container, network, run its program; told on the sync descriptor
//   serve()    the loop, until the container has ended for good
//   leave()    exit code to the clients, last words to status.json, --rm
#pragma once

#include <deque>
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
#include "payload/prepare.h"

namespace trivet::monitor {

enum class Timer { kTimeout, kGrace, kDrain, kRestart, kTrim };

struct MonitorOptions {
  Directories directories;
  std::string id;
  UniqueFd sync;
  UniqueFd attach;  // the foreground client; may be invalid
};

class Monitor {
 public:
  // Runs the container to its end. The error has been told on the sync descriptor already.
  static Result<> run(MonitorOptions options);

 private:
  Monitor(MonitorOptions options, EventLoop loop)
      : options_(std::move(options)), loop_(std::move(loop)) {}

  // One start of the container.
  struct Life {
    std::optional<container::Container> container;
    std::optional<ProcessId> pasta;
    UniqueFd to_stdin;     // with a terminal a duplicate of the master
    UniqueFd from_stdout;  // with a terminal the master
    UniqueFd from_stderr;
    UniqueFd report;                           // of a Wasm host or a VMM
    std::optional<payload::Prepared> payload;  // until release_payload()
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
  Result<> prepare();
  Result<> clear_leftovers() const;
  Result<> watch_signals();
  void handle_signals(int fd);
  void reap_strays();
  void tell_start(const Result<>& started);
  Result<> serve();
  void leave();
  void save_status();

  // --- monitor_run.cc
  Result<> start();
  Result<> create_container(Life& life);
  static std::unexpected<Error> abandon(Life& life, Error cause);
  bool came_from_bad_template(const Error& error);
  Result<> prepare_payload(const oci::Spec& spec, const std::string& bundle, Life& life);
  void release_payload();
  Result<> start_vm_network(Life& life, payload::VmRequest& request);
  void note_report(const Life& ended);
  void note_vm_boot(const Life& life);
  void note_vm_report(const Life& ended);
  Result<> take_terminal(Life& life);
  Result<> watch_life();
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
  Result<> request_stop(int signal, std::optional<std::chrono::milliseconds> grace);
  void kill_everything();
  Result<> forward_signal(int signal);
  Result<> pause();
  Result<> resume();

  // --- monitor_clients.cc
  Result<> add_client(UniqueFd fd, Client::Kind kind);
  void accept_clients();
  void handle_client(int fd, uint32_t events);
  bool read_client(Client& client);
  void handle_message(Client& client, const Message& message);
  Result<> handle_request(const Message& message);
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
  EventLoop loop_;
  UniqueFd lock_;
  UniqueFd listener_;
  UniqueFd signals_;
  Record record_;
  Status status_;
  std::optional<LogWriter> log_;
  std::list<Client> clients_;
  std::vector<int> recipients_;  // of broadcast(), kept to save allocations
  std::optional<Life> life_;
  std::deque<PendingInput> input_;
  bool input_ended_ = false;
  std::optional<WindowSize> window_;
  std::chrono::milliseconds backoff_{0};
  bool timed_out_ = false;
  bool boots_ = false;             // no template for a microVM: one did not come back
  std::vector<ProcessId> strays_;  // pasta processes that were told to end
};

}  // namespace trivet::monitor
