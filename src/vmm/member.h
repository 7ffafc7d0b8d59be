// A container of a pod whose machine holds several: the process that stands for it on the host.
#pragma once

#include <optional>

#include "base/event_loop.h"
#include "base/result.h"
#include "payload/microvm/job.h"
#include "vmm/connection.h"
#include "vmm/engine.h"
#include "vmm/relay.h"
#include "vmm/report_writer.h"
#include "vmm/router.h"

namespace trivet::vmm {

// Its life is that of a machine after the boot: the container is created in the guest, started by
// the engine, and relayed to its end. When this process ends, so does what it stands for: the
// machine abandons the sessions of a client that has gone. One thread, one loop.
class Member {
 public:
  Member(payload::microvm::MemberJob job, EventLoop loop, Signals signals);

  // To the end of the container; the exit code.
  int run();

 private:
  enum class Phase { kCreating, kCreated, kStarting, kRunning, kEnding };
  enum class Timer { kPhase };

  Result<> start();
  Result<> handle_frame(const guest::Frame& frame);
  Result<> handle_own(const guest::Frame& frame);
  Result<> done();
  void go();
  void ended(const guest::Exit& exit);
  void machine_ended(const Error& error);
  void enter(Phase phase);
  void give_up(const Error& error);
  void stop(int exit_code);

  payload::microvm::MemberJob job_;
  EventLoop loop_;
  Signals signals_;
  ReportWriter report_;
  Engine engine_;
  Connection machine_;
  Router router_;
  Relay relay_;
  Phase phase_ = Phase::kCreating;
  bool stopped_ = false;
  int exit_code_ = 1;
};

// As a container's init.
int run_member(payload::microvm::MemberJob job);

}  // namespace trivet::vmm
