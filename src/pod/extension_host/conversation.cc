#include "pod/extension_host/conversation.h"

#include <array>
#include <unistd.h>

#include "base/fs.h"

namespace trivet::pod {

namespace {
constexpr size_t kMaxEvents = 1024;
}  // namespace

Result<> Conversation::read_some() {
  std::array<char, 16384> buffer{};
  const ssize_t count = ::read(input_.get(), buffer.data(), buffer.size());
  if (count < 0) return fail_errno("read");
  if (count == 0) return fail(ErrorCode::kNetwork, "the engine has closed the conversation");
  return lines_.feed({buffer.data(), static_cast<size_t>(count)});
}

Result<ExtensionOrder> Conversation::read_start() {
  for (;;) {
    if (const auto line = TRY(lines_.next())) {
      ExtensionOrder order = TRY(parse_order(*line));
      if (order.type == ExtensionOrder::Type::kStart) return order;
      return fail(ErrorCode::kCorrupt, "the first message is no start");
    }
    TRY(read_some());
  }
}

void Conversation::read_all() {
  const auto read = [this]() -> Result<> {
    for (;;) {
      while (const auto line = TRY(lines_.next())) TRY(take(TRY(parse_order(*line))));
      TRY(read_some());
    }
  };
  (void)read();
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

Result<> Conversation::take(ExtensionOrder order) {
  const std::lock_guard lock(mutex_);
  if (order.type == ExtensionOrder::Type::kEvent) {
    if (events_.size() >= kMaxEvents) {
      return fail(ErrorCode::kLimitExceeded, "{} events wait for on_event()", kMaxEvents);
    }
    events_.push_back(std::move(order.event));
  } else if (const auto waiting = answers_.find(order.id); waiting != answers_.end()) {
    waiting->second = std::move(order);
  }
  changed_.notify_all();
  return {};
}

std::optional<Event> Conversation::next_event() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closed_ || !events_.empty(); });
  if (events_.empty()) return std::nullopt;
  Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

Result<> Conversation::send(const ExtensionRequest& request) {
  const std::lock_guard lock(mutex_);
  return write_all(output_.get(), print_request(request) + "\n", "stdout");
}

Result<ExtensionOrder> Conversation::ask(ExtensionRequest request) {
  std::unique_lock lock(mutex_);
  request.id = ++last_id_;
  std::optional<ExtensionOrder>& answer = answers_[request.id];
  TRY(write_all(output_.get(), print_request(request) + "\n", "stdout"));
  changed_.wait(lock, [&] { return closed_ || answer.has_value(); });
  if (!answer) return fail(ErrorCode::kNetwork, "the engine has closed the conversation");
  ExtensionOrder order = std::move(*answer);
  answers_.erase(request.id);
  if (order.type == ExtensionOrder::Type::kError) {
    return fail(ErrorCode::kWrongState, "{}", order.message);
  }
  return order;
}

}  // namespace trivet::pod
