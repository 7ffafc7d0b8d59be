#include "vmm/member.h"

#include <unistd.h>

#include "base/fs.h"
#include "vmm/confine.h"
#include "vmm/run.h"

namespace trivet::vmm {

using guest::Frame;
using guest::FrameType;

namespace {

// On the connection to the machine: the container's own session, then those of our clients.
constexpr uint32_t kOwnSession = guest::kFirstRequestSession;
constexpr int kExitKilled = 137;  // 128 + SIGKILL

// The engine's words, as for any container whose place is gone.
Error machine_is_gone() {
  return {ErrorCode::kWrongState, "the pod's virtual machine does not run"};
}

}  // namespace

Member::Member(payload::microvm::MemberJob job, EventLoop loop, Signals signals)
    : job_(std::move(job)),
      loop_(std::move(loop)),
      signals_(std::move(signals)),
      report_(job_.report),
      engine_(loop_, job_.sync, job_.listener),
      machine_(loop_, UniqueFd(job_.machine), guest::Direction::kToHost),
      router_(loop_, machine_, job_.container, kOwnSession + 1),
      relay_(loop_, machine_, signals_, {.session = kOwnSession, .terminal = job_.terminal}) {}

int Member::run() {
  if (auto begun = start(); !begun) give_up(begun.error());
  if (stopped_) return exit_code_;
  if (auto ran = loop_.run(); !ran) give_up(ran.error());
  return exit_code_;
}

Result<> Member::start() {
  TRY(machine_.open({.on_frame = [this](const Frame& frame) { return handle_frame(frame); },
                     .on_end = [this](const Error& error) { machine_ended(error); },
                     .on_drained = [this] { router_.agent_drained(); }}));
  TRY(engine_.open({.on_go = [this] { go(); }, .on_abandoned = [this] { stop(1); }}));
  TRY(relay_.prepare_terminal());
  TRY(router_.listen());
  TRY(confine_self());
  enter(Phase::kCreating);
  machine_.send(FrameType::kCreate, kOwnSession, guest::print(job_.create), job_.container);
  job_.create = {};
  return {};
}

Result<> Member::handle_frame(const Frame& frame) {
  if (frame.session == kOwnSession) return handle_own(frame);
  return router_.handle(frame);
}

Result<> Member::handle_own(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kDone:
      return done();
    case FrameType::kFailed:
      give_up(guest::parse_error(frame.payload));
      return {};
    case FrameType::kExit:
      ended(TRY(guest::read_exit(frame.payload)));
      return {};
    default:
      return relay_.handle(frame);
  }
}

Result<> Member::done() {
  if (phase_ == Phase::kCreating) {
    phase_ = Phase::kCreated;
    loop_.clear_timer(Timer::kPhase);
    TRY(router_.open());
    engine_.say_ready();
    return {};
  }
  if (phase_ != Phase::kStarting) {
    return fail(ErrorCode::kCorrupt, "agent protocol: an answer to no question");
  }
  phase_ = Phase::kRunning;
  loop_.clear_timer(Timer::kPhase);
  engine_.close();
  return relay_.start();
}

void Member::go() {
  enter(Phase::kStarting);
  machine_.send(FrameType::kStart, kOwnSession);
}

void Member::ended(const guest::Exit& exit) {
  if (phase_ != Phase::kRunning) {
    return give_up({ErrorCode::kSystem, "the container was ended before it was started"});
  }
  phase_ = Phase::kEnding;
  relay_.stop();
  router_.refuse_clients();
  report_.page().oom_killed = exit.oom_killed ? 1 : 0;
  relay_.when_drained([this, code = int{exit.code}] { stop(code); });
}

// What came from there has been taken; the rest of the pod ends as its machine does.
void Member::machine_ended(const Error& error) {
  router_.close();
  if (phase_ == Phase::kEnding) return;
  if (phase_ != Phase::kRunning) {
    return give_up(error.code() == ErrorCode::kNetwork ? machine_is_gone() : error);
  }
  phase_ = Phase::kEnding;
  relay_.stop();
  report_.page().lost = 1;
  report_.set_message(machine_is_gone().message());
  relay_.when_drained([this] { stop(kExitKilled); });
}

void Member::enter(Phase phase) {
  phase_ = phase;
  loop_.set_timer(Timer::kPhase, std::chrono::milliseconds(job_.timeout_ms), [this] {
    give_up({ErrorCode::kTimeout,
             fmt::format("the guest does not answer within {} ms", job_.timeout_ms)});
  });
}

void Member::give_up(const Error& error) {
  if (stopped_) return;
  report_.set_message(error.message());
  if (engine_.is_open()) {
    engine_.say_failed(error);
  } else {
    (void)write_all(STDERR_FILENO, fmt::format("trivet-vmm: {}\n", error.message()), "stderr");
  }
  stop(1);
}

void Member::stop(int exit_code) {
  exit_code_ = exit_code;
  stopped_ = true;
  loop_.stop();
}

int run_member(payload::microvm::MemberJob job) {
  return run_for_good<Member>(std::move(job));
}

}  // namespace trivet::vmm
