// How a pod ends: the main containers, then the sidecars backwards, then what they stood on.
#include <algorithm>

#include "linux/cgroup.h"
#include "pod/supervisor.h"

namespace trivet::pod {

// Before it runs: the step that is going on ends with this error. The first one is the cause.
void Supervisor::fail(Error error) {
  if (!committed_ && !failure_) failure_ = std::move(error);
}

// A second request can only make it shorter.
void Supervisor::stop_pod(std::chrono::milliseconds grace, const std::string& reason) {
  const auto stop_by = EventLoop::Clock::now() + grace;
  if (stop_by_ && *stop_by_ <= stop_by) return;
  stop_by_ = stop_by;
  loop_.set_timer(Timer::kGrace, grace, [this] { kill_members(); });
  if (grace.count() == 0) kill_members();
  if (status_.phase == PodPhase::kStopping) return;
  status_.phase = PodPhase::kStopping;
  status_.reason = reason;
  loop_.clear_timer(Timer::kDeadline);
  (void)journal_.note(Step::kStopping);
  save_status();
  send({.kind = Event::Kind::kStopping});
  for (Member& member : members_) {
    if (member.plan->role == Role::kMain) stop_member(member);
  }
  stop_next();
}

// Once all main containers have ended, of themselves or not, the sidecars are of no use.
void Supervisor::stop_next() {
  const auto is_up = [](const Member& member) { return !member.ended; };
  const auto is_main = [](const Member& member) { return member.plan->role == Role::kMain; };
  if (std::ranges::any_of(members_, [&](const Member& m) { return is_main(m) && is_up(m); }))
    return;
  const auto last = std::find_if(members_.rbegin(), members_.rend(), is_up);
  if (last == members_.rend()) {
    over_ = true;
    return;
  }
  if (!stop_by_) {
    const std::chrono::milliseconds grace(record_.grace_ms);
    stop_by_ = EventLoop::Clock::now() + grace;
    loop_.set_timer(Timer::kGrace, grace, [this] { kill_members(); });
  }
  stop_member(*last);
}

// Its preStop hook, then its stop signal, within what is left of the grace.
void Supervisor::stop_member(Member& member) {
  if (member.ended || std::exchange(member.stopping, true)) return;
  const auto left =
      std::max(std::chrono::milliseconds(0),
               std::chrono::ceil<std::chrono::milliseconds>(*stop_by_ - EventLoop::Clock::now()));
  const auto signal = [this, &member] {
    const auto rest =
        std::chrono::ceil<std::chrono::milliseconds>(*stop_by_ - EventLoop::Clock::now());
    (void)member.monitor->request_stop(0, std::max(rest, std::chrono::milliseconds(0)));
  };
  if (!member.plan->pre_stop || !member.running || left.count() == 0) return signal();
  auto hook = start_action(*member.plan->pre_stop, left, member.target,
                           [signal, &member](const Result<>& outcome) {
                             if (!outcome) member.message = outcome.error().message();
                             signal();
                           });
  if (!hook) return signal();
  member.hook = std::move(*hook);
}

void Supervisor::kill_members() {
  for (Member& member : members_) {
    if (member.ended) continue;
    member.stopping = true;
    (void)member.monitor->request_stop(0, std::chrono::milliseconds(0));
  }
}

// The infra container has ended by itself, or was killed: nothing holds the pod together.
void Supervisor::infra_ended() {
  loop_.forget(infra_->init_pidfd());
  const std::string words = machine_ ? machine_->last_words() : "";
  status_.message = words.empty() ? "the infra container has ended" : words;
  if (!committed_) return fail(Error(ErrorCode::kSystem, status_.message));
  stop_pod(std::chrono::milliseconds(0), "InfraLost");
}

// A machine that is lost is heard of by the end of what it says, first, and by its own words.
void Supervisor::extension_not_started(Error error) {
  constexpr std::chrono::milliseconds kPatience{500};
  const bool silent = error.code() == ErrorCode::kNetwork;
  if (silent && wait_pidfd(infra_->init_pidfd(), kPatience).value_or(false)) infra_ended();
  fail(std::move(error));
}

void Supervisor::end_shell() {
  channel_.reset();
  const auto note = [this](const Result<>& done) {
    if (!done && status_.message.empty()) status_.message = done.error().message();
  };
  if (infra_) note(infra_->remove(container::Container::Force::kYes));
  note(net::stop_pasta(status_.pasta));
  if (const auto layout = cgroup::Layout::detect()) {
    cgroup::Cgroup::remove_unused(*layout, record_.cgroup_parent, paths_.id);
  }
}

}  // namespace trivet::pod
