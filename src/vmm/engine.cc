#include "vmm/engine.h"

#include <algorithm>
#include <sys/socket.h>

#include "base/error_json.h"
#include "base/fd_passing.h"
#include "base/memfd.h"
#include "container/stage/plan.h"

namespace trivet::vmm {

namespace {

using stage::Message;
using stage::MessageKind;

constexpr size_t kMaxStarters = 16;

// Nothing at the end, or for what is no message.
std::optional<MessageKind> receive(int fd) {
  Message message{};
  const ssize_t count = recv(fd, &message, sizeof message, MSG_DONTWAIT);
  if (count != static_cast<ssize_t>(sizeof message)) return std::nullopt;
  return message.kind;
}

}  // namespace

Result<> Engine::open(Handlers handlers) {
  handlers_ = std::move(handlers);
  if (!sync_) return {};
  return loop_.watch(sync_.get(), EPOLLIN | EPOLLRDHUP, [this](uint32_t) { hear_creator(); });
}

void Engine::say_ready() {
  ready_ = true;
  if (!sync_) return handlers_.on_go();
  const Message message{.kind = MessageKind::kReady};
  (void)!send(sync_.get(), &message, sizeof message, MSG_NOSIGNAL);
}

void Engine::hear_creator() {
  const auto kind = receive(sync_.get());
  if (ready_ && kind == MessageKind::kGo) {
    loop_.forget(sync_.get());
    return go(std::move(sync_));
  }
  if (ready_ && kind == MessageKind::kKeep && listener_ && !kept_) {
    kept_ = true;
    if (loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_starter(); })) return;
  }
  // It has gone, or says what makes no sense here.
  loop_.forget(sync_.get());
  sync_.reset();
  if (!kept_) handlers_.on_abandoned();
}

// Connections that are closed without a word only ask whether the container waits to be started.
void Engine::accept_starter() {
  UniqueFd starter(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!starter || starters_.size() >= kMaxStarters) return;
  const int fd = starter.get();
  if (!loop_.watch(fd, EPOLLIN | EPOLLRDHUP, [this, fd](uint32_t) { hear_starter(fd); })) return;
  starters_.push_back(std::move(starter));
}

void Engine::hear_starter(int fd) {
  const auto found = std::ranges::find(starters_, fd, &UniqueFd::get);
  if (found == starters_.end()) return;
  UniqueFd starter = std::move(*found);
  starters_.erase(found);
  loop_.forget(fd);
  if (receive(fd) == MessageKind::kGo) go(std::move(starter));
}

void Engine::go(UniqueFd conversation) {
  conversation_ = std::move(conversation);
  forget_all();
  handlers_.on_go();
}

void Engine::forget_all() {
  for (const UniqueFd& starter : starters_) loop_.forget(starter.get());
  starters_.clear();
  if (sync_) loop_.forget(sync_.get());
  if (listener_) loop_.forget(listener_.get());
}

// The listener first: who hears that the start has succeeded finds nobody listening any more.
void Engine::close() {
  forget_all();
  listener_.reset();
  sync_.reset();
  conversation_.reset();
}

void Engine::say_failed(const Error& error) {
  const int target = conversation_ ? conversation_.get() : sync_.get();
  if (target >= 0) send_failure(target, error);
  close();
}

void send_failure(int conversation, const Error& error) {
  const Message message{.kind = MessageKind::kPayloadFailed};
  if (const auto words = sealed_memfd("trivet-failure", error_to_text(error))) {
    (void)send_with_fd(conversation, &message, sizeof message, words->get());
  }
}

}  // namespace trivet::vmm
