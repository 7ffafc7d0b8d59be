#include "payload/microvm/control.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "payload/microvm/job.h"

namespace trivet::payload::microvm {

namespace {

using guest::Frame;
using guest::FrameType;

std::unexpected<Error> not_running() {
  return fail(ErrorCode::kWrongState, "its virtual machine does not run");
}

// The socket's file, found in the root of exactly this process.
Result<UniqueFd> find_socket(const ProcessId& init) {
  const UniqueFd pidfd = TRY(open_pidfd(init));
  auto root = open_file(fmt::format("/proc/{}/root", init.pid), O_PATH | O_DIRECTORY);
  // The process might have ended before the open, and another one have its number.
  if (!is_alive(init)) return not_running();
  if (!root) return std::unexpected(root.error());
  auto file = open_in_root(root->get(), kControlSocket, O_PATH);
  if (!file && file.error().errnum() == ENOENT) return not_running();
  return file;
}

Result<UniqueFd> connect_to(int file) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}", file);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return fd;
  }
  if (errno == ECONNREFUSED) return not_running();
  return fail_errno("connect to the virtual machine");
}

Error failure_in(const Frame& frame) {
  if (frame.type == FrameType::kFailed) return guest::parse_error(frame.payload);
  return {ErrorCode::kCorrupt,
          fmt::format("unexpected frame of type {}", static_cast<unsigned>(frame.type))};
}

Result<GuestProcess> parse_process(const JsonView& view) {
  GuestProcess process;
  TRY(view.read("pid", process.pid));
  TRY(view.read("ppid", process.ppid));
  TRY(view.read("uid", process.uid));
  TRY(view.read("time_ms", process.time_ms));
  TRY(view.read("state", process.state));
  TRY(view.read("command", process.command));
  return process;
}

}  // namespace

Result<UniqueFd> connect_to_machine(const ProcessId& init) {
  const UniqueFd file = TRY_IN(find_socket(init), "reach the virtual machine");
  return connect_to(file.get());
}

Result<Control> Control::connect(const ProcessId& init, Milliseconds patience) {
  return Control(TRY(connect_to_machine(init)), patience);
}

Control Control::adopt(UniqueFd socket, Milliseconds patience) {
  return Control(std::move(socket), patience);
}

// ---- requests

Result<Json> Control::request(const guest::Request& request) {
  const uint32_t session = next_session_++;
  TRY(send(FrameType::kRequest, session, guest::print(request)));
  const Frame frame = TRY_IN(receive(session), "\"{}\" in the guest", request.operation);
  if (frame.type == FrameType::kAnswer) return parse_json(frame.payload, request.operation);
  return std::unexpected(failure_in(frame));
}

Result<> Control::do_simple(std::string operation) {
  TRY(request({.operation = std::move(operation)}));
  return {};
}

Result<> Control::ping() {
  return do_simple("ping");
}

Result<> Control::freeze() {
  return do_simple("freeze");
}

Result<> Control::thaw() {
  return do_simple("thaw");
}

Result<> Control::update(const std::string& resources) {
  TRY(request({.operation = "update", .resources = resources}));
  return {};
}

Result<guest::Stats> Control::stats() {
  const Json answer = TRY(request({.operation = "stats"}));
  return guest::parse_stats(answer.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<std::vector<GuestProcess>> Control::processes() {
  const Json answer = TRY(request({.operation = "processes"}));
  const JsonView view(answer, "answer");
  std::vector<GuestProcess> processes;
  const auto list = TRY(view.find("processes"));
  if (!list) return processes;
  for (const JsonView& entry : TRY(list->elements())) {
    processes.push_back(TRY(parse_process(entry)));
  }
  return processes;
}

// ---- copies

Result<> Control::copy_in(const guest::CopyRequest& copy, const Source& source) {
  const uint32_t session = next_session_++;
  TRY(send(FrameType::kCopyIn, session, guest::print(copy)));
  size_t on_the_way = 0;
  for (;;) {
    auto chunk = source();
    if (!chunk) {
      abandon(session);
      return std::unexpected(std::move(chunk).error());
    }
    if (chunk->empty()) break;
    TRY(send_chunk(session, *chunk, on_the_way));
  }
  TRY(send(FrameType::kStdinEof, session, {}));
  for (;;) {
    const Frame frame = TRY(receive(session));
    if (frame.type == FrameType::kDone) return {};
    TRY(take_credit(frame, on_the_way));
  }
}

Result<> Control::send_chunk(uint32_t session, std::string_view data, size_t& on_the_way) {
  while (!data.empty()) {
    const size_t room = guest::kStreamWindow - on_the_way;
    if (room == 0) {
      TRY(take_credit(TRY(receive(session)), on_the_way));
      continue;
    }
    const std::string_view part = data.substr(0, std::min(room, guest::kMaxData));
    TRY(send(FrameType::kStdin, session, part));
    on_the_way += part.size();
    data.remove_prefix(part.size());
  }
  return {};
}

Result<> Control::take_credit(const Frame& frame, size_t& on_the_way) {
  if (frame.type != FrameType::kCredit) return std::unexpected(failure_in(frame));
  const guest::Credit credit = TRY(guest::read_credit(frame.payload));
  if (credit.stream != FrameType::kStdin || credit.bytes > on_the_way) {
    return fail(ErrorCode::kCorrupt, "the guest gives credit for what it did not get");
  }
  on_the_way -= credit.bytes;
  return {};
}

Result<> Control::copy_out(const guest::CopyRequest& copy, const Sink& sink) {
  const uint32_t session = next_session_++;
  TRY(send(FrameType::kCopyOut, session, guest::print(copy)));
  for (;;) {
    const Frame frame = TRY(receive(session));
    if (frame.type == FrameType::kExit) {
      const guest::Exit exit = TRY(guest::read_exit(frame.payload));
      if (exit.code == 0) return {};
      return fail(ErrorCode::kSystem, "the copy in the guest ended with exit code {}", exit.code);
    }
    if (frame.type != FrameType::kStdout) return std::unexpected(failure_in(frame));
    if (auto taken = sink(frame.payload); !taken) {
      abandon(session);
      return taken;
    }
    const auto size = static_cast<uint32_t>(frame.payload.size());
    const std::string credit = guest::make_credit(session, FrameType::kStdout, size);
    TRY(send(FrameType::kCredit, session, std::string_view(credit).substr(guest::kHeaderSize)));
  }
}

void Control::abandon(uint32_t session) {
  (void)send(FrameType::kAbandon, session, {});
}

// ---- frames

Result<> Control::send(FrameType type, uint32_t session, std::string_view payload) {
  const std::string frame = guest::make_frame(type, session, payload);
  const auto deadline = Clock::now() + patience_;
  for (size_t sent = 0; sent < frame.size();) {
    const ssize_t count =
        ::send(socket_.get(), frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      TRY(wait_for(POLLOUT, deadline));
    } else if (errno != EINTR) {
      return std::unexpected(
          Error::from_errno(errno, "send to the virtual machine").with_code(ErrorCode::kNetwork));
    }
  }
  return {};
}

Result<Frame> Control::receive(uint32_t session) {
  const auto deadline = Clock::now() + patience_;
  for (;;) {
    while (const auto frame = TRY(reader_.next())) {
      if (frame->session == session) return *frame;
    }
    TRY(fill(deadline));
  }
}

Result<> Control::fill(Clock::time_point deadline) {
  TRY(wait_for(POLLIN, deadline));
  char* space = reader_.space(guest::kMaxData);
  const ssize_t count = recv(socket_.get(), space, reader_.space_size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return {};
  if (count <= 0) {
    return fail(ErrorCode::kNetwork, "the virtual machine has ended, or its supervisor hung up");
  }
  reader_.added(static_cast<size_t>(count));
  return {};
}

Result<> Control::wait_for(short events, Clock::time_point deadline) {
  const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now()).count();
  pollfd fd{.fd = socket_.get(), .events = events, .revents = 0};
  const int ready = poll(&fd, 1, static_cast<int>(std::max<int64_t>(left, 0)));
  if (ready > 0) return {};
  if (ready < 0 && errno != EINTR) return fail_errno("poll");
  if (ready < 0) return {};
  return fail(ErrorCode::kTimeout, "the guest does not answer within {} ms", patience_.count());
}

}  // namespace trivet::payload::microvm
