// The supervisor of one virtual machine: it is started, woken, given its container, run, and ended.
// One thread, one loop; each step of the life begins with an event of the step before.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "payload/microvm/job.h"
#include "vmm/child.h"
#include "vmm/connection.h"
#include "vmm/engine.h"
#include "vmm/network.h"
#include "vmm/qmp.h"
#include "vmm/relay.h"
#include "vmm/report_writer.h"
#include "vmm/router.h"
#include "vmm/words.h"

namespace trivet::vmm {

class Machine {
 public:
  Machine(payload::microvm::Job job, EventLoop loop, Signals signals);

  // To the end of the container; the exit code.
  int run();

 private:
  enum class Phase {
    kBooting,    // to the agent's "ready"
    kRestoring,  // to the guest's going on where the template was made
    kWaking,     // to the agent's "awake"
    kCreating,   // the container is made
    kCreated,    // waits to be started
    kStarting,   // the program is executed
    kRunning,    // to the program's end
    kEnding,     // the guest writes everything back, what was printed is passed on
    kSaving,     // a template is written
  };
  enum class Timer { kPhase, kEnd };

  // machine_start.cc: processes and connections
  Result<> start();
  Result<> start_vmm();
  Result<> reopen_state();
  void close_given();
  Result<> watch();
  Result<> watch_child(Child& child, const char* name);
  void child_ended(Child& child, const char* name);
  void reap_orphans() const;
  [[nodiscard]] Error explain_end(std::string_view what);

  // machine_boot.cc: from the first instruction to a guest that is awake
  void boot();
  void handle_event(const QmpEvent& event);
  void guest_stopped();
  Result<> handle_agent(const guest::Frame& frame);
  Result<> agent_ready(const guest::Frame& frame);
  void restore();
  void restored();
  void save();
  void saved();
  void wake();
  void agent_awake();
  // A command of which nothing is wanted but that it succeeds.
  void execute(std::string_view command, const Json& arguments, std::function<void()> then);
  void set_migration_capabilities();

  // machine.cc: the container
  Result<> handle_frame(const guest::Frame& frame);
  Result<> handle_init(const guest::Frame& frame);
  void create();
  void created();
  void go();
  Result<> started();
  Result<> program_ended(const guest::Exit& exit);
  void finish_part(bool& part);
  void agent_ended(const Error& error);

  // How it ends.
  void enter(Phase phase, std::chrono::milliseconds limit);
  void give_up(Error error);
  void lose(const Error& error);
  void stop(int exit_code);
  void complain(std::string_view text) const;
  [[nodiscard]] bool is_restoring() const;

  payload::microvm::Job job_;
  EventLoop loop_;
  Signals signals_;
  ReportWriter report_;
  Engine engine_;
  std::optional<Listener> console_;
  std::optional<Listener> diagnostics_;
  Network network_;
  std::optional<Qmp> qmp_;  // to a machine that listens
  std::optional<Connection> agent_;
  std::optional<Router> router_;
  std::optional<Relay> relay_;
  Child vmm_;
  const char* vmm_name_ = "";
  Child share_;
  int state_number_ = -1;
  std::vector<off_t> disk_sizes_;
  Phase phase_ = Phase::kBooting;
  EventLoop::Clock::time_point begun_;  // of the boot, then of the creation
  std::string event_words_;             // what QMP told about the end
  bool stopped_ = false;
  bool saved_ = false;
  bool written_back_ = false;
  bool drained_ = false;
  int exit_code_ = 1;
};

// As a container's init, or as the maker of a template.
int run_machine(payload::microvm::Job job);

}  // namespace trivet::vmm
