#include "vmm/machine.h"

#include <unistd.h>

#include "base/fs.h"
#include "vmm/run.h"

namespace trivet::vmm {

using guest::Frame;
using guest::FrameType;

namespace {

// A reader of our stdio that is slow gets this long when the guest is gone.
constexpr std::chrono::seconds kLastWordsLimit{2};
// How long the machine's own end may come after that of the agent's connection; its words are
// better.
constexpr std::chrono::milliseconds kVmmEndLimit{1000};

}  // namespace

Machine::Machine(Job job, EventLoop loop, Signals signals)
    : job_(std::move(job)),
      loop_(std::move(loop)),
      signals_(std::move(signals)),
      report_(job_.report),
      engine_(loop_, job_.sync, job_.listener) {}

int Machine::run() {
  if (auto begun = start(); !begun) {
    give_up(std::move(begun).error());
    return exit_code_;
  }
  boot();
  if (stopped_) return exit_code_;
  if (auto ran = loop_.run(); !ran) give_up(std::move(ran).error());
  return exit_code_;
}

Result<> Machine::handle_frame(const Frame& frame) {
  if (frame.session == guest::kAgentSession) return handle_agent(frame);
  if (frame.session == guest::kInitSession) return handle_init(frame);
  return router_->handle(frame);
}

// ---- the container

void Machine::create() {
  enter(Phase::kCreating, std::chrono::milliseconds(job_.boot_timeout_ms));
  const bool adopts = is_restoring() && job_.saved->has_container;
  agent_->send(adopts ? FrameType::kAdopt : FrameType::kCreate, guest::kInitSession,
               guest::print(job_.create));
  job_.create = {};
}

void Machine::created() {
  if (job_.mode == Job::Mode::kMakeTemplate) return save();
  const auto time = EventLoop::Clock::now() - begun_;
  report_.page().create_us =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
  phase_ = Phase::kCreated;
  loop_.clear_timer(Timer::kPhase);
  if (auto opened = router_->open(); !opened) return give_up(std::move(opened).error());
  engine_.say_ready();
}

void Machine::go() {
  enter(Phase::kStarting, std::chrono::milliseconds(job_.boot_timeout_ms));
  agent_->send(FrameType::kStart, guest::kInitSession);
}

Result<> Machine::started() {
  phase_ = Phase::kRunning;
  loop_.clear_timer(Timer::kPhase);
  engine_.close();
  return relay_->start();
}

Result<> Machine::handle_init(const Frame& frame) {
  const bool runs = phase_ == Phase::kRunning || phase_ == Phase::kStarting;
  switch (frame.type) {
    case FrameType::kDone:
      if (phase_ == Phase::kCreating) {
        created();
        return {};
      }
      if (phase_ == Phase::kStarting) return started();
      break;
    case FrameType::kFailed:
      if (phase_ != Phase::kCreating && phase_ != Phase::kStarting) break;
      give_up(guest::parse_error(frame.payload));
      return {};
    case FrameType::kExit:
      if (phase_ != Phase::kRunning) break;
      return program_ended(TRY(guest::read_exit(frame.payload)));
    case FrameType::kStdout:
    case FrameType::kStderr:
    case FrameType::kCredit:
      if (!runs && phase_ != Phase::kEnding) break;
      return relay_->handle(frame);
    default:
      break;
  }
  return fail(ErrorCode::kCorrupt, "agent protocol: frame of type {} at a wrong time",
              static_cast<unsigned>(frame.type));
}

// The guest writes everything back while the last output is passed on.
Result<> Machine::program_ended(const guest::Exit& exit) {
  relay_->stop();
  router_->refuse_clients();
  exit_code_ = exit.code;
  report_.page().oom_killed = exit.oom_killed ? 1 : 0;
  phase_ = Phase::kEnding;
  loop_.set_timer(Timer::kPhase, std::chrono::milliseconds(job_.shutdown_timeout_ms),
                  [this] { finish_part(written_back_); });
  router_->request({.operation = "shutdown"},
                   [this](const Result<>&) { finish_part(written_back_); });
  relay_->when_drained([this] { finish_part(drained_); });
  return {};
}

void Machine::finish_part(bool& part) {
  part = true;
  if (written_back_ && drained_) stop(exit_code_);
}

// ---- ends

void Machine::enter(Phase phase, std::chrono::milliseconds limit) {
  phase_ = phase;
  loop_.set_timer(Timer::kPhase, limit, [this, limit] {
    console_->drain();
    Error error(ErrorCode::kTimeout,
                fmt::format("the guest does not answer within {} ms", limit.count()));
    const std::string said = console_->tail().last_line();
    if (!said.empty()) error = std::move(error).in(fmt::format("last on its console: {}", said));
    give_up(std::move(error));
  });
}

bool Machine::is_restoring() const {
  return restores(job_);
}

// The agent's connection has ended, or what came was malformed; the first is followed by the end of
// the machine.
void Machine::agent_ended(const Error& error) {
  router_->close();
  if (error.code() != ErrorCode::kNetwork) return give_up(error);
  loop_.set_timer(Timer::kEnd, kVmmEndLimit,
                  [this] { give_up(explain_end("the guest's agent has gone")); });
}

void Machine::give_up(Error error) {
  if (stopped_) return;
  switch (phase_) {
    case Phase::kSaving:
      // QEMU ends as it was told.
      if (saved_ && error.code() == ErrorCode::kSystem) return stop(0);
      break;
    case Phase::kRunning:
      return lose(error);
    case Phase::kEnding:
      return finish_part(written_back_);
    default:
      break;
  }
  const Phase last =
      is_restoring() && job_.saved->has_container ? Phase::kCreating : Phase::kWaking;
  const bool unusable = is_restoring() && phase_ <= last;
  if (unusable) {
    error = std::move(error).in("restore the microVM's template").with_code(ErrorCode::kCorrupt);
  }
  report_.set_message(error.message());
  if (engine_.is_open()) {
    engine_.say_failed(error);
  } else {
    complain(error.message());
  }
  stop(1);
}

// The container's program ran, and its machine is gone.
void Machine::lose(const Error& error) {
  const std::string text =
      fmt::format("the virtual machine ended unexpectedly: {}", error.message());
  report_.page().lost = 1;
  report_.set_message(text);
  relay_->stop();
  router_->close();
  agent_->close();
  phase_ = Phase::kEnding;
  exit_code_ = payload::microvm::kExitGuestLost;
  const auto end = [this, text] {
    if (stopped_) return;
    complain(text);
    stop(exit_code_);
  };
  loop_.set_timer(Timer::kPhase, kLastWordsLimit, end);
  relay_->when_drained(end);
}

void Machine::stop(int exit_code) {
  exit_code_ = exit_code;
  stopped_ = true;
  loop_.stop();
}

void Machine::complain(std::string_view text) const {
  (void)write_all(STDERR_FILENO,
                  fmt::format("trivet-vmm: {}{}", text, job_.terminal ? "\r\n" : "\n"), "stderr");
}

int run_machine(Job job) {
  return run_for_good<Machine>(std::move(job));
}

}  // namespace trivet::vmm
