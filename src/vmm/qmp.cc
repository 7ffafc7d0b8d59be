#include "vmm/qmp.h"

#include <array>
#include <sys/socket.h>

#include "base/fd_passing.h"
#include "base/text.h"

namespace trivet::vmm {

namespace {
constexpr size_t kMaxLine = 1U << 20U;
}

Result<> Qmp::open(Handlers handlers) {
  handlers_ = std::move(handlers);
  TRY(loop_.watch(socket_.get(), EPOLLIN, [this](uint32_t) { read_some(); }));
  execute("qmp_capabilities", nullptr, [this](const Result<Json>& result) {
    if (!result) fail_with(result.error());
  });
  return {};
}

void Qmp::close() {
  if (!socket_) return;
  loop_.forget(socket_.get());
  socket_.reset();
}

void Qmp::execute(std::string_view command, const Json& arguments, Reply reply) {
  send_command(command, arguments, -1, std::move(reply));
}

void Qmp::give_descriptor(std::string_view name, int fd, Reply reply) {
  send_command("getfd", {{"fdname", name}}, fd, std::move(reply));
}

// Commands are few and short: they fit into the socket's buffer.
void Qmp::send_command(std::string_view command, const Json& arguments, int fd, Reply reply) {
  if (!socket_) return;
  const uint64_t id = next_id_++;
  const std::string line = print_qmp(command, arguments, id);
  pending_[id] = {.command = std::string(command), .reply = std::move(reply)};
  const bool sent = fd >= 0
                        ? send_with_fd(socket_.get(), line.data(), line.size(), fd) == 0
                        : send(socket_.get(), line.data(), line.size(),
                               MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(line.size());
  if (!sent) answer(id, fail(ErrorCode::kNetwork, "it takes no commands"));
}

void Qmp::read_some() {
  std::array<char, 4096> data;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t count = recv(socket_.get(), data.data(), data.size(), MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) return close();
  buffer_.append(data.data(), static_cast<size_t>(count));
  size_t begin = 0;
  for (size_t end = 0; (end = buffer_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    handle_line(trim(std::string_view(buffer_).substr(begin, end - begin)));
    if (!socket_) return;
  }
  buffer_.erase(0, begin);
  if (buffer_.size() > kMaxLine) fail_with(Error(ErrorCode::kCorrupt, "QMP: an endless line"));
}

void Qmp::handle_line(std::string_view line) {
  if (line.empty()) return;
  auto message = parse_qmp(line);
  if (!message) return fail_with(message.error());
  if (auto* result = std::get_if<QmpReturn>(&*message)) {
    answer(result->id, std::move(result->value));
  } else if (const auto* failure = std::get_if<QmpFailure>(&*message)) {
    answer(failure->id, std::unexpected(Error(ErrorCode::kSystem, failure->message)));
  } else if (const auto* event = std::get_if<QmpEvent>(&*message)) {
    handlers_.on_event(*event);
  }
}

void Qmp::answer(uint64_t id, Result<Json> result) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  const Pending pending = std::move(found->second);
  pending_.erase(found);
  if (!result) {
    result =
        std::unexpected(std::move(result).error().in(fmt::format("QEMU: {}", pending.command)));
  }
  if (pending.reply) pending.reply(std::move(result));
}

void Qmp::fail_with(const Error& error) {
  const auto on_failure = handlers_.on_failure;
  close();
  if (on_failure) on_failure(error);
}

}  // namespace trivet::vmm
