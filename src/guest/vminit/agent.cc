#include "guest/vminit/agent.h"

#include <csignal>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "base/process.h"
#include "guest/vminit/identity.h"

namespace trivet::guest {

namespace {

// Above the first nothing is read from programs until the queue is below the second; above the
// third nothing from the host, who does not take its answers.
constexpr size_t kCongested = 512U << 10U;
constexpr size_t kRelaxed = 128U << 10U;
constexpr size_t kStuffed = 8U << 20U;

Ready describe_guest() {
  utsname name{};
  (void)::uname(&name);
  return {.version = kProtocolVersion, .kernel = name.release};
}

}  // namespace

Error Agent::serve() {
  return run().error();
}

Result<> Agent::run() {
  TRY(watch_children());
  TRY(watch_port());
  port_.send(make_frame(FrameType::kReady, kAgentSession, print(describe_guest())));
  for (;;) {
    TRY(after_turn());
    TRY(loop_.turn());
    if (failure_) return std::unexpected(*failure_);
  }
}

Result<> Agent::watch_children() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGCHLD, SIGPIPE}) sigaddset(&set, number);
  if (::sigprocmask(SIG_SETMASK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return fail_errno("signalfd");
  return loop_.watch(signals_.get(), EPOLLIN, [this](uint32_t) {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    }
    reap_children();
  });
}

Result<> Agent::watch_port() {
  port_events_ = EPOLLIN;
  return loop_.watch(port_.fd(), port_events_, [this](uint32_t events) {
    if (auto served = serve_port(events); !served && !failure_) failure_ = served.error();
  });
}

Result<> Agent::serve_port(uint32_t events) {
  if ((events & EPOLLIN) != 0) TRY(read_port());
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) look_for_host();
  return {};
}

// Whole frames only, and no more than one read a turn, so that everybody has one.
Result<> Agent::read_port() {
  const Port::Read got = TRY(port_.read());
  if (got == Port::Read::kClosed) look_for_host();
  for (;;) {
    const auto frame = TRY(port_.next());
    if (!frame) return {};
    TRY(handle(*frame));
  }
}

// A port without a host is "ready" at any time, so it leaves the loop and is looked at from time to
// time: the host's end may not be there yet. Once it has gone nobody can want anything any more.
void Agent::look_for_host() {
  constexpr std::chrono::milliseconds kPause{50};
  constexpr int kPatience = 200;
  if (!host_is_gone_) {
    host_is_gone_ = true;
    absences_ = 0;
    loop_.forget(port_.fd());
  }
  pollfd entry{.fd = port_.fd(), .events = POLLIN, .revents = 0};
  (void)::poll(&entry, 1, 0);
  if ((entry.revents & POLLHUP) == 0) {
    host_is_gone_ = false;
    if (auto watched = watch_port(); !watched) failure_ = watched.error();
    return;
  }
  if (++absences_ == kPatience) {
    failure_ = Error(ErrorCode::kSystem, "the host has closed the agent's port");
    return;
  }
  loop_.set_timer(Timer::kHost, kPause, [this] { look_for_host(); });
}

Result<> Agent::after_turn() {
  if (!host_is_gone_) TRY(port_.flush());
  const bool congested = port_.queued() > (congested_ ? kRelaxed : kCongested);
  if (congested != congested_) {
    congested_ = congested;
    for (auto& [id, conversation] : conversations_) conversation.session->set_congested(congested);
  }
  const uint32_t wanted =
      (port_.queued() > kStuffed ? 0U : EPOLLIN) | (port_.queued() > 0 ? uint32_t{EPOLLOUT} : 0U);
  if (host_is_gone_ || wanted == port_events_) return {};
  port_events_ = wanted;
  return loop_.change(port_.fd(), wanted);
}

void Agent::send_failure(uint32_t session, const Error& error) {
  port_.send(make_frame(FrameType::kFailed, session, print_error(error)));
}

void Agent::answer(uint32_t session, const Result<>& done) {
  if (!done) return send_failure(session, done.error());
  port_.send(make_frame(FrameType::kDone, session));
}

void Agent::answer(uint32_t session, const Result<std::string>& done) {
  if (!done) return send_failure(session, done.error());
  port_.send(make_frame(FrameType::kAnswer, session, *done));
}

void Agent::wake_up(std::string_view payload) {
  const auto message = parse_wake(payload);
  const Result<> woken = message ? wake(*message) : std::unexpected(message.error());
  if (!woken) return send_failure(kAgentSession, woken.error());
  port_.send(make_frame(FrameType::kAwake, kAgentSession));
}

Session* Agent::find(uint32_t id) {
  const auto found = conversations_.find(id);
  return found == conversations_.end() ? nullptr : found->second.session.get();
}

// A number that is taken is the host's mistake; too many conversations are its client's.
Result<> Agent::check_new(uint32_t id) const {
  if (conversations_.contains(id)) {
    return fail(ErrorCode::kCorrupt, "agent protocol: session {} is open already", id);
  }
  return {};
}

Session& Agent::add_session(uint32_t id, Kind kind) {
  auto session =
      std::make_unique<Session>(id, loop_, port_, [this](Session& ended) { finish(ended); });
  session->set_congested(congested_);
  Conversation& conversation = conversations_[id];
  conversation = {.kind = kind,
                  .session = std::move(session),
                  .report = {},
                  .dialing = {},
                  .container = std::nullopt};
  return *conversation.session;
}

Result<> Agent::handle(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kWake:
      wake_up(frame.payload);
      return {};
    case FrameType::kCreate:
      if (frame.container != 0) TRY(check_new(frame.session));
      answer(frame.session, create(frame));
      return {};
    case FrameType::kAdopt:
      answer(frame.session, adopt(frame.payload));
      return {};
    case FrameType::kStart:
      return start(frame.session);
    case FrameType::kExec:
      return exec(frame);
    case FrameType::kCopyIn:
      return copy(frame, Kind::kCopyIn);
    case FrameType::kCopyOut:
      return copy(frame, Kind::kCopyOut);
    case FrameType::kConnect:
      return connect(frame.session, frame.payload);
    case FrameType::kRequest: {
      TRY(check_new(frame.session));
      const auto message = parse_request(frame.payload);
      if (message && message->operation == "shutdown") return shut_down(frame.session), Result<>();
      answer(frame.session,
             message ? request(*message, frame.container) : std::unexpected(message.error()));
      return {};
    }
    default:
      return handle_stream(frame);
  }
}

// For a session that exists. The host may not know yet that it has ended: that is no mistake.
Result<> Agent::handle_stream(const Frame& frame) {
  Session* session = find(frame.session);
  if (session == nullptr) return {};
  switch (frame.type) {
    case FrameType::kStdin:
      return session->take_input(frame.payload);
    case FrameType::kStdinEof:
      return session->end_input();
    case FrameType::kCredit:
      return session->take_credit(TRY(read_credit(frame.payload)));
    case FrameType::kResize:
      session->resize(TRY(read_resize(frame.payload)));
      return {};
    case FrameType::kSignal:
      signal(frame.session, static_cast<int>(TRY(read_number(frame.payload))));
      return {};
    case FrameType::kAbandon:
      if (conversations_.at(frame.session).kind == Kind::kConnection) {
        give_up_connection(frame.session, Error(ErrorCode::kCanceled, "nobody wants it any more"));
        return {};
      }
      signal(frame.session, SIGKILL);
      return {};
    default:
      return fail(ErrorCode::kCorrupt, "agent protocol: unexpected frame");
  }
}

void Agent::signal(uint32_t id, int number) {
  Session* session = find(id);
  if (session == nullptr || session->pid() == 0 || number < 1 || number > SIGRTMAX) return;
  // What the container has left besides its init goes with it.
  Conversation& conversation = conversations_.at(id);
  const auto& own = conversation.container;
  if (own && number == SIGKILL) {
    if (auto* container = find_container(*own)) (void)container->kill_all(SIGKILL);
  }
  // What it has started, too, if it was in a container already: its session is its own.
  if (!own && number == SIGKILL) (void)::kill(-session->pid(), number);
  if (number == SIGTERM) conversation.told_to_end = true;
  (void)::kill(session->pid(), number);
}

// Our children are the programs of sessions, and whoever lost its parent.
void Agent::reap_children() {
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return;
    for (auto& [id, conversation] : conversations_) {
      if (conversation.session->pid() != pid) continue;
      if (conversation.ends_group && conversation.told_to_end) (void)::kill(-pid, SIGKILL);
      conversation.session->ended(exit_code_of(status));  // may erase it
      break;
    }
  }
}

// The last thing of a session.
void Agent::finish(Session& session) {
  const uint32_t id = session.id();
  const auto found = conversations_.find(id);
  if (found->second.kind == Kind::kConnection) {
    port_.send(make_exit(id, {}));
  } else if (found->second.kind != Kind::kProgram) {
    finish_copy(found->second, id);
  } else {
    Exit exit{.code = static_cast<uint8_t>(session.exit_code())};
    if (found->second.container) finish_container(*found->second.container, exit);
    port_.send(make_exit(id, exit));
  }
  conversations_.erase(found);
}

}  // namespace trivet::guest
