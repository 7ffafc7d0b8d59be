#include "vmm/words.h"

#include <array>
#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"

namespace trivet::vmm {

namespace {
constexpr size_t kTailSize = 8192;
constexpr size_t kMaxLine = 400;
constexpr size_t kMaxCopy = 256U << 10U;
constexpr std::string_view kPanic = "Kernel panic - not syncing: ";
}  // namespace

void Tail::add(std::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n' || (byte >= ' ' && byte < 0x7F)) text_ += c;
  }
  if (text_.size() > kTailSize) text_.erase(0, text_.size() - kTailSize);
}

std::string Tail::last_line() const {
  const std::string_view all = trim(text_);
  const size_t newline = all.find_last_of('\n');
  const std::string_view line = newline == std::string_view::npos ? all : all.substr(newline + 1);
  return std::string(trim(line.substr(0, kMaxLine)));
}

std::string Tail::find_panic() const {
  const size_t at = text_.rfind(kPanic);
  if (at == std::string::npos) return {};
  const std::string_view rest = std::string_view(text_).substr(at + kPanic.size());
  return std::string(trim(rest.substr(0, std::min(rest.find('\n'), kMaxLine))));
}

Listener::Listener(EventLoop& loop, UniqueFd source, int copy_to)
    : loop_(loop), source_(std::move(source)) {
  if (copy_to >= 0) copy_.emplace(loop, copy_to, [](size_t) {});
}

Result<> Listener::open(std::function<void()> on_text) {
  on_text_ = std::move(on_text);
  const int flags = fcntl(source_.get(), F_GETFL);
  if (flags < 0 || fcntl(source_.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno("fcntl");
  }
  return loop_.watch(source_.get(), EPOLLIN, [this](uint32_t) {
    if (read_some() && on_text_) on_text_();
  });
}

void Listener::drain() {
  while (source_ && read_some()) continue;
}

bool Listener::read_some() {
  std::array<char, 4096> data;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t count = read(source_.get(), data.data(), data.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count <= 0) {
    close();
    return false;
  }
  const std::string_view text(data.data(), static_cast<size_t>(count));
  tail_.add(text);
  if (copy_ && copy_->pending() < kMaxCopy) copy_->add(text);
  return true;
}

void Listener::close() {
  if (!source_) return;
  loop_.forget(source_.get());
  source_.reset();
}

}  // namespace trivet::vmm
