#include "vmm/exec_proxy.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/event_loop.h"
#include "base/fs.h"
#include "vmm/confine.h"
#include "vmm/connection.h"
#include "vmm/engine.h"
#include "vmm/relay.h"

namespace trivet::vmm {

namespace {

using guest::Frame;
using guest::FrameType;

constexpr uint32_t kSession = guest::kFirstRequestSession;
constexpr int kExitFailed = 125;
constexpr int kExitKilled = 137;  // 128 + SIGKILL

// The guest or the whole machine has come to its end meanwhile: the engine's words for it.
Error not_running() {
  return {ErrorCode::kWrongState, "container not running: it is stopped"};
}

Result<UniqueFd> connect_to_machine() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, payload::microvm::kControlSocket, sizeof address.sun_path - 1);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ECONNREFUSED || errno == ENOENT) return std::unexpected(not_running());
    return fail_errno("connect to the virtual machine");
  }
  return fd;
}

class Proxy {
 public:
  // `sync` is closed when the program runs.
  Proxy(const payload::microvm::ExecJob& job, UniqueFd& sync, EventLoop loop, Signals signals,
        UniqueFd socket)
      : job_(job),
        sync_(sync),
        loop_(std::move(loop)),
        signals_(std::move(signals)),
        peer_(loop_, std::move(socket), guest::Direction::kToHost),
        relay_(loop_, peer_, signals_,
               {.session = kSession,
                .terminal = job.terminal,
                .on_input_end = job.connect ? [this] { loop_.stop(); } : std::function<void()>()}) {
  }

  Result<int> run() {
    TRY(peer_.open({.on_frame = [this](const Frame& frame) { return handle(frame); },
                    .on_end = [this](const Error& error) { machine_ended(error); },
                    .on_drained = nullptr}));
    TRY(relay_.prepare_terminal());
    TRY(confine_self());
    if (job_.connect) {
      peer_.send(FrameType::kConnect, kSession, guest::print(*job_.connect));
    } else {
      peer_.send(FrameType::kExec, kSession, guest::print(job_.request));
    }
    TRY(loop_.run());
    if (failure_) return std::unexpected(*failure_);
    return exit_code_;
  }

 private:
  Result<> handle(const Frame& frame) {
    switch (frame.type) {
      case FrameType::kDone:
        sync_.reset();
        return relay_.start();
      case FrameType::kFailed:
        give_up(guest::parse_error(frame.payload));
        return {};
      case FrameType::kExit:
        relay_.stop();
        exit_code_ = TRY(guest::read_exit(frame.payload))
        .code;
        ended_ = true;
        relay_.when_drained([this] { loop_.stop(); });
        return {};
      default:
        return relay_.handle(frame);
    }
  }

  // As the kernel does with the processes of a container whose init has ended.
  void machine_ended(const Error& error) {
    if (sync_) return give_up(error.code() == ErrorCode::kNetwork ? not_running() : error);
    if (ended_) return;
    ended_ = true;
    exit_code_ = kExitKilled;
    loop_.stop();
  }

  void give_up(Error error) {
    if (ended_) return;
    ended_ = true;
    failure_ = error.code() == ErrorCode::kWrongState ? not_running() : std::move(error);
    loop_.stop();
  }

  const payload::microvm::ExecJob& job_;
  UniqueFd& sync_;
  EventLoop loop_;
  Signals signals_;
  Connection peer_;
  Relay relay_;
  bool ended_ = false;
  std::optional<Error> failure_;  // why the program was not executed
  int exit_code_ = kExitFailed;
};

Result<int> try_exec(const payload::microvm::ExecJob& job, UniqueFd& sync) {
  Signals signals = TRY(Signals::block());
  EventLoop loop = TRY(EventLoop::create());
  UniqueFd socket = TRY(connect_to_machine());
  Proxy proxy(job, sync, std::move(loop), std::move(signals), std::move(socket));
  return proxy.run();
}

}  // namespace

int run_exec(const payload::microvm::ExecJob& job) {
  UniqueFd sync(job.sync);
  const auto code = try_exec(job, sync);
  if (code) return *code;
  if (sync) {
    send_failure(sync.get(), code.error());
  } else {
    (void)write_all(STDERR_FILENO, fmt::format("trivet-vmm: {}\n", code.error().message()),
                    "stderr");
  }
  return kExitFailed;
}

}  // namespace trivet::vmm
