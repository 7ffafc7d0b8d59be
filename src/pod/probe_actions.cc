#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <memory>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

#include "base/fs.h"
#include "base/paths.h"
#include "base/printable.h"
#include "base/socket_pair.h"
#include "base/text.h"
#include "pod/grpc_health.h"
#include "pod/http_answer.h"
#include "pod/probe.h"
#include "pod/timed_action.h"

namespace trivet::pod {

namespace {

using std::chrono::milliseconds;

class SleepAction final : public TimedAction {
 public:
  SleepAction(EventLoop& loop, milliseconds time, Done done)
      : TimedAction(loop, time, std::move(done)) {}

 private:
  Result<> expire() override { return {}; }
  void release() override {}
};

class TcpAction final : public SocketAction {
 public:
  TcpAction(const Action& action, EventLoop& loop, milliseconds timeout, Done done)
      : SocketAction(action, loop, timeout, std::move(done)) {}

 private:
  Outcome on_connected() override { return Result<>(); }
  Outcome on_bytes(std::string_view /*bytes*/) override { return std::nullopt; }
  Outcome on_end() override { return std::nullopt; }
};

class HttpAction : public SocketAction {
 public:
  HttpAction(const Action& action, std::string request, EventLoop& loop, milliseconds timeout,
             Done done)
      : SocketAction(action, loop, timeout, std::move(done)), request_(std::move(request)) {}

 protected:
  Outcome on_connected() override {
    send(request_);
    return std::nullopt;
  }
  Outcome on_end() override {
    if (answer_.status() != 0) return judge();
    return Result<>(fail(ErrorCode::kNetwork, "the connection was closed without an answer"));
  }

 private:
  Outcome on_bytes(std::string_view bytes) override {
    if (auto fed = answer_.feed(bytes); !fed) return fed;
    if (!answer_.complete()) return std::nullopt;
    return judge();
  }
  // Once the header is there, the rest is read for the server's sake only.
  Result<> expire() override { return answer_.status() != 0 ? judge() : SocketAction::expire(); }
  // A redirect is a success, as for Kubernetes when it leads elsewhere; it is not followed.
  [[nodiscard]] Result<> judge() const {
    if (answer_.status() >= 200 && answer_.status() < 400) return {};
    return fail(ErrorCode::kWrongState, "status code {}", answer_.status());
  }

  std::string request_;
  HttpAnswer answer_;
};

// The same through trivet-probe-tls, which is given the connection.
class HttpsAction final : public HttpAction {
 public:
  using HttpAction::HttpAction;
  HttpsAction(const HttpsAction&) = delete;
  HttpsAction& operator=(const HttpsAction&) = delete;
  ~HttpsAction() override { HttpsAction::release(); }

  [[nodiscard]] pid_t child() const override { return program_.pid; }

 private:
  Outcome on_connected() override {
    if (auto begun = begin(); !begun) return begun;
    return HttpAction::on_connected();
  }
  Outcome on_end() override {
    Outcome outcome = HttpAction::on_end();
    if (*outcome) return outcome;
    return Result<>(
        fail(ErrorCode::kNetwork, "no TLS, or the connection was closed without an answer"));
  }
  void release() override {
    HttpAction::release();
    if (program_.pidfd) end_child(loop(), std::exchange(program_, {}));
  }

  Result<> begin() {
    const std::string path = find_companion(kTlsProgram);
    if (path.empty()) return fail(ErrorCode::kUnsupported, "{} is not installed", kTlsProgram);
    auto [ours, theirs] = TRY(make_socket_pair());
    if (fcntl(ours.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("fcntl O_NONBLOCK");
    const UniqueFd connection = TRY(change_socket(std::move(ours)));
    const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
    program_.pid = TRY(spawn_in_session(path, {kTlsProgram},
                                        {{.fd = theirs.get(), .number = STDIN_FILENO},
                                         {.fd = null.get(), .number = STDOUT_FILENO},
                                         {.fd = null.get(), .number = STDERR_FILENO},
                                         {.fd = connection.get(), .number = 3}}));
    program_.pidfd = TRY(open_pidfd(program_.pid));
    return {};
  }

  static constexpr const char* kTlsProgram = "trivet-probe-tls";
  container::Started program_;
};

class GrpcAction final : public SocketAction {
 public:
  GrpcAction(const Action& action, EventLoop& loop, milliseconds timeout, Done done)
      : SocketAction(action, loop, timeout, std::move(done)), service_(action.service) {}

 private:
  Outcome on_connected() override {
    auto check = GrpcHealthCheck::create(authority(), service_);
    if (!check) return Result<>(std::unexpected(std::move(check).error()));
    check_ = std::move(*check);
    return reply();
  }
  Outcome on_bytes(std::string_view bytes) override {
    if (auto fed = check_->feed(bytes); !fed) return fed;
    return check_->outcome() ? check_->outcome() : reply();
  }
  Outcome on_end() override {
    return Result<>(fail(ErrorCode::kNetwork, "the connection was closed without an answer"));
  }
  Outcome reply() {
    auto output = check_->take_output();
    if (!output) return Result<>(std::unexpected(std::move(output).error()));
    send(*output);
    return std::nullopt;
  }

  std::string service_;
  std::unique_ptr<GrpcHealthCheck> check_;
};

class ExecAction final : public TimedAction {
 public:
  ExecAction(container::Started started, UniqueFd output, EventLoop& loop, milliseconds timeout,
             Done done)
      : TimedAction(loop, timeout, std::move(done)),
        started_(std::move(started)),
        output_(std::move(output)) {}
  ExecAction(const ExecAction&) = delete;
  ExecAction& operator=(const ExecAction&) = delete;
  ~ExecAction() override { ExecAction::release(); }

  Result<> open() {
    TRY(loop().watch(output_.get(), EPOLLIN, [this](uint32_t) { read_some(); }));
    return loop().watch(started_.pidfd.get(), EPOLLIN, [this](uint32_t) { end(); });
  }
  [[nodiscard]] pid_t child() const override { return started_.pid; }

 private:
  static constexpr size_t kShown = 256;

  Result<> expire() override {
    return fail(ErrorCode::kTimeout, "did not end within {} ms", timeout().count());
  }
  void release() override {
    if (output_) loop().forget(output_.get());
    output_.reset();
    if (!started_.pidfd) return;
    loop().forget(started_.pidfd.get());
    end_child(loop(), std::exchange(started_, {}));
  }

  // Returns whether there may be more.
  bool read_some() {
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(output_.get(), buffer.data(), buffer.size());
    if (count > 0) {
      const size_t kept = std::min(static_cast<size_t>(count), kShown - shown_.size());
      shown_.append(buffer.data(), kept);
      return true;
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    loop().forget(output_.get());
    output_.reset();
    return false;
  }

  void end() {
    // What it has written last; what it may have left behind goes on writing, so not for ever.
    constexpr int kMaxReads = 16;
    for (int i = 0; i < kMaxReads && output_ && shown_.size() < kShown && read_some(); ++i) {
    }
    const Result<int> code = reap_child(started_.pidfd.get());
    loop().forget(started_.pidfd.get());
    started_.pidfd.reset();
    started_.pid = 0;
    finish(judge(code));
  }

  [[nodiscard]] Result<> judge(const Result<int>& code) const {
    if (!code) return std::unexpected(code.error());
    if (*code == 0) return {};
    const std::string_view text = trim(shown_);
    return fail(ErrorCode::kWrongState, "exited with code {}{}{}", *code, text.empty() ? "" : ": ",
                printable(text));
  }

  container::Started started_;
  UniqueFd output_;
  std::string shown_;
};

// Gives what an action says of its failure the action's name.
RunningAction::Done named(std::string name, RunningAction::Done done) {
  return [name = std::move(name), done = std::move(done)](Result<> outcome) {
    if (!outcome) outcome = std::unexpected(std::move(outcome).error().in(name));
    done(std::move(outcome));
  };
}

Result<std::unique_ptr<RunningAction>> start_exec(const Action& action, milliseconds timeout,
                                                  const ActionTarget& target,
                                                  RunningAction::Done done) {
  if (!target.exec) return fail(ErrorCode::kUnsupported, "nothing can be executed there");
  Pipe pipe = TRY(make_pipe());
  if (fcntl(pipe.read_end.get(), F_SETFL, O_NONBLOCK) != 0) return fail_errno("fcntl O_NONBLOCK");
  const int output = pipe.write_end.get();
  container::Started started = TRY(target.exec(action.command, output, output));
  auto running = std::make_unique<ExecAction>(std::move(started), std::move(pipe.read_end),
                                              target.loop, timeout, std::move(done));
  TRY(running->open());
  return running;
}

template <typename T, typename... Args>
Result<std::unique_ptr<RunningAction>> start_socket(const ActionTarget& target, Args&&... args) {
  auto running = std::make_unique<T>(std::forward<Args>(args)...);
  TRY(running->open(target));
  return running;
}

std::string print_name(const Action& action) {
  constexpr size_t kShown = 80;
  const std::string host = action.host.empty() ? "127.0.0.1" : printable(action.host);
  switch (action.kind) {
    case Action::Kind::kExec:
      return fmt::format("command \"{}\"", printable(join(action.command, " ")).substr(0, kShown));
    case Action::Kind::kHttp:
      return fmt::format("GET {}://{}:{}{}", action.https ? "https" : "http", host, action.port,
                         printable(action.path).substr(0, kShown));
    case Action::Kind::kTcp:
      return fmt::format("connection to {}:{}", host, action.port);
    case Action::Kind::kGrpc:
      return fmt::format("gRPC health check of {}:{}", host, action.port);
    case Action::Kind::kSleep:
      return "sleep";
  }
  return {};
}

Result<std::unique_ptr<RunningAction>> start_named(const Action& action, milliseconds timeout,
                                                   const ActionTarget& target,
                                                   RunningAction::Done done) {
  switch (action.kind) {
    case Action::Kind::kExec:
      return start_exec(action, timeout, target, std::move(done));
    case Action::Kind::kHttp: {
      std::string request = TRY(print_http_request(action));
      if (action.https) {
        return start_socket<HttpsAction>(target, action, std::move(request), target.loop, timeout,
                                         std::move(done));
      }
      return start_socket<HttpAction>(target, action, std::move(request), target.loop, timeout,
                                      std::move(done));
    }
    case Action::Kind::kTcp:
      return start_socket<TcpAction>(target, action, target.loop, timeout, std::move(done));
    case Action::Kind::kGrpc:
      return start_socket<GrpcAction>(target, action, target.loop, timeout, std::move(done));
    case Action::Kind::kSleep:
      return std::make_unique<SleepAction>(target.loop, milliseconds(action.sleep_ms),
                                           std::move(done));
  }
  std::unreachable();
}

}  // namespace

Result<std::unique_ptr<RunningAction>> start_action(const Action& action, milliseconds timeout,
                                                    const ActionTarget& target,
                                                    RunningAction::Done done) {
  std::string name = print_name(action);
  return TRY_IN(start_named(action, timeout, target, named(name, std::move(done))), "{}", name);
}

}  // namespace trivet::pod
