#include <algorithm>
#include <utility>

#include "pod/probe.h"

namespace trivet::pod {

using std::chrono::milliseconds;

struct ProbeLoop::Impl {
  enum class Timer { kNext };

  Probe probe;
  ActionTarget target;
  Repeat repeat;
  Change on_change;
  State state = State::kUnknown;
  int successes = 0;  // in a row
  int failures = 0;
  EventLoop::Clock::time_point begun;
  std::unique_ptr<RunningAction> running;

  Impl(Probe wanted, ActionTarget on, Repeat how_often, Change change)
      : probe(std::move(wanted)),
        target(std::move(on)),
        repeat(how_often),
        on_change(std::move(change)) {
    schedule(milliseconds(probe.initial_delay_ms));
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { target.loop.clear_timer(Timer::kNext, this); }

  void schedule(milliseconds delay) {
    target.loop.set_timer(Timer::kNext, delay, [this] { begin(); }, this);
  }

  [[nodiscard]] bool paused() const { return target.paused && target.paused(); }

  void begin() {
    begun = EventLoop::Clock::now();
    if (paused()) return schedule(time_to_next());
    auto started = start_action(probe.action, milliseconds(probe.timeout_ms), target,
                                [this](const Result<>& outcome) { end(outcome); });
    if (started) {
      running = std::move(*started);
    } else {
      end(std::unexpected(std::move(started).error()));
    }
  }

  // `on_change` may delete this object, so it comes last.
  void end(const Result<>& outcome) {
    running.reset();
    if (paused()) return schedule(time_to_next());
    successes = outcome ? successes + 1 : 0;
    failures = outcome ? 0 : failures + 1;
    State next = state;
    if (successes >= probe.success_threshold) next = State::kGood;
    if (failures >= probe.failure_threshold) next = State::kBad;
    if (next != State::kGood || repeat == Repeat::kForever) schedule(time_to_next());
    if (std::exchange(state, next) == next) return;
    const Change tell = on_change;
    tell(next, outcome ? "" : outcome.error().message());
  }

  // Periods are counted from one beginning to the next; a probe that took longer is followed by the
  // next at once.
  [[nodiscard]] milliseconds time_to_next() const {
    const auto next = begun + milliseconds(probe.period_ms);
    const auto left = std::chrono::ceil<milliseconds>(next - EventLoop::Clock::now());
    return std::max(left, milliseconds(0));
  }
};

ProbeLoop::ProbeLoop(const Probe& probe, ActionTarget target, Repeat repeat, Change on_change)
    : impl_(std::make_unique<Impl>(probe, std::move(target), repeat, std::move(on_change))) {}

ProbeLoop::~ProbeLoop() = default;

ProbeLoop::State ProbeLoop::state() const {
  return impl_->state;
}

pid_t ProbeLoop::child() const {
  return impl_->running ? impl_->running->child() : 0;
}

}  // namespace trivet::pod
