#include <algorithm>
#include <array>
#include <fcntl.h>
#include <set>
#include <sys/socket.h>

#include "base/printable.h"
#include "pod/infra.h"
#include "pod/line_buffer.h"

namespace trivet::pod {

namespace {
// What may wait for an infra container that does not read; then events are lost.
constexpr size_t kMaxPending = 4 * kMaxExtensionLine;
}  // namespace

struct InfraChannel::Impl {
  EventLoop& loop;
  UniqueFd socket;
  Handlers handlers;
  LineBuffer input{kMaxExtensionLine};
  std::string pending;             // to be sent
  std::set<std::string> starting;  // extensions that have not said "ready" yet
  std::set<std::string> running;
  bool watched = false;

  Impl(EventLoop& on, UniqueFd end, Handlers calls)
      : loop(on), socket(std::move(end)), handlers(std::move(calls)) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { close(); }

  void close() {
    if (!socket) return;
    if (watched) loop.forget(socket.get());
    socket.reset();
  }

  Result<> launch(const PodRecord& record, const Extension& extension);
  void queue(const InfraOrder& order) { pending += print_infra_order(order) + "\n"; }
  Result<> exchange(uint32_t events);
  Result<> write_some();
  Result<> read_some();
  Result<> take_lines();
  void take(const InfraReport& report);
  void answer(const std::string& to, const ExtensionRequest& request);
  [[nodiscard]] ExtensionOrder make_answer(const ExtensionRequest& request) const;
  void lose(const std::string& extension, const std::string& message);
  void serve(uint32_t events);
  void update_interest();
};

Result<> InfraChannel::Impl::launch(const PodRecord& record, const Extension& extension) {
  ExtensionOrder order{.type = ExtensionOrder::Type::kStart,
                       .name = extension.name,
                       .settings = extension.settings,
                       .pod_id = record.id,
                       .pod_name = record.name,
                       .hostname = record.hostname};
  for (const PodContainer& container : record.containers) {
    order.containers.push_back(container.name);
  }
  const InfraOrder launch{
      .to = extension.name, .launch = extension_command(extension), .order = print_order(order)};
  const size_t before = pending.size();
  queue(launch);
  if (pending.size() - before > kMaxExtensionLine) {
    return fail(ErrorCode::kLimitExceeded, "extension \"{}\": its settings are too long",
                extension.name);
  }
  starting.insert(extension.name);
  return {};
}

Result<> InfraChannel::Impl::exchange(uint32_t events) {
  if ((events & EPOLLOUT) != 0) TRY(write_some());
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) TRY(read_some());
  return {};
}

Result<> InfraChannel::Impl::write_some() {
  if (pending.empty()) return {};
  const ssize_t count =
      ::send(socket.get(), pending.data(), pending.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count >= 0) {
    pending.erase(0, static_cast<size_t>(count));
  } else if (errno == EPIPE || errno == ECONNRESET) {
    pending.clear();  // its last words are still to be read, and then its end
  } else if (errno != EAGAIN && errno != EINTR) {
    return fail_errno("send to the infra container");
  }
  return {};
}

Result<> InfraChannel::Impl::read_some() {
  std::array<char, 16384> buffer{};
  const ssize_t count = recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return {};
    if (errno != ECONNRESET) return fail_errno("receive from the infra container");
  }
  if (count <= 0) return fail(ErrorCode::kNetwork, "the infra container has ended");
  TRY(input.feed({buffer.data(), static_cast<size_t>(count)}));
  return take_lines();
}

Result<> InfraChannel::Impl::take_lines() {
  while (const auto line = TRY(input.next())) take(TRY(parse_infra_report(*line)));
  return {};
}

void InfraChannel::Impl::take(const InfraReport& report) {
  if (!report.request) return lose(report.from, report.ended);
  switch (report.request->type) {
    case ExtensionRequest::Type::kReady:
      if (starting.erase(report.from) != 0) running.insert(report.from);
      break;
    case ExtensionRequest::Type::kFailed:
      lose(report.from, report.request->message);
      break;
    case ExtensionRequest::Type::kPort:
    case ExtensionRequest::Type::kNumbers:
      answer(report.from, *report.request);
      break;
  }
}

void InfraChannel::Impl::answer(const std::string& to, const ExtensionRequest& request) {
  ExtensionOrder order = make_answer(request);
  order.id = request.id;
  queue({.to = to, .launch = {}, .order = print_order(order)});
}

ExtensionOrder InfraChannel::Impl::make_answer(const ExtensionRequest& request) const {
  using Type = ExtensionOrder::Type;
  if (request.type == ExtensionRequest::Type::kNumbers) {
    return {.type = Type::kNumbers, .numbers = handlers.numbers()};
  }
  if (starting.empty()) {
    return {.type = Type::kError, .message = "ports can be requested in on_start only"};
  }
  const auto port = handlers.request_port(request.protocol, request.host, request.guest);
  if (port) return {.type = Type::kPort, .port = *port};
  return {.type = Type::kError, .message = port.error().message()};
}

// Several reports of one extension's end are one.
void InfraChannel::Impl::lose(const std::string& extension, const std::string& message) {
  const std::string text = printable(message);
  if (starting.erase(extension) != 0) {
    handlers.start_failed(
        Error(ErrorCode::kWrongState, fmt::format("extension \"{}\": {}", extension, text)));
  } else if (running.erase(extension) != 0) {
    handlers.extension_failed(extension, text);
  }
}

void InfraChannel::Impl::update_interest() {
  const uint32_t wanted = pending.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
  (void)loop.change(socket.get(), wanted);
}

// The end of the infra container is seen by who waits for it too, who may know more of it. Once all
// have started it only ends the conversation.
void InfraChannel::Impl::serve(uint32_t events) {
  if (auto exchanged = exchange(events); !exchanged) {
    close();
    if (!starting.empty()) handlers.start_failed(std::move(exchanged).error());
    return;
  }
  update_interest();
}

InfraChannel::InfraChannel(EventLoop& loop, UniqueFd socket, Handlers handlers)
    : impl_(std::make_unique<Impl>(loop, std::move(socket), std::move(handlers))) {}

InfraChannel::~InfraChannel() = default;

Result<> InfraChannel::start_extensions(const PodRecord& record) {
  for (const Extension& extension : record.extensions) TRY(impl_->launch(record, extension));
  TRY(impl_->loop.watch(impl_->socket.get(), EPOLLIN | EPOLLOUT,
                        [impl = impl_.get()](uint32_t events) { impl->serve(events); }));
  impl_->watched = true;
  return {};
}

std::optional<std::string> InfraChannel::starting() const {
  if (impl_->starting.empty()) return std::nullopt;
  return *impl_->starting.begin();
}

void InfraChannel::send(const Event& event) {
  const bool heard = impl_->socket && !impl_->running.empty();
  if (!heard || impl_->pending.size() > kMaxPending) return;
  impl_->queue({.to = "",
                .launch = {},
                .order = print_order({.type = ExtensionOrder::Type::kEvent, .event = event})});
  if (impl_->write_some() && impl_->watched) impl_->update_interest();
}

}  // namespace trivet::pod
