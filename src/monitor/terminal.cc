#include "monitor/terminal.h"

#include <sys/ioctl.h>

#include "base/text.h"

namespace trivet::monitor {

Result<RawTerminal> RawTerminal::enter(int fd) {
  termios saved{};
  if (tcgetattr(fd, &saved) != 0) return fail_errno("tcgetattr");
  termios raw = saved;
  cfmakeraw(&raw);
  if (tcsetattr(fd, TCSANOW, &raw) != 0) return fail_errno("tcsetattr");
  return RawTerminal(fd, saved);
}

RawTerminal::RawTerminal(RawTerminal&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), saved_(other.saved_) {}

void RawTerminal::restore() {
  const int fd = std::exchange(fd_, -1);
  if (fd >= 0) (void)tcsetattr(fd, TCSADRAIN, &saved_);
}

std::optional<WindowSize> terminal_size(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return WindowSize{.rows = size.ws_row, .columns = size.ws_col};
}

Result<> set_terminal_size(int master_fd, WindowSize size) {
  const winsize value{.ws_row = size.rows, .ws_col = size.columns, .ws_xpixel = 0, .ws_ypixel = 0};
  if (ioctl(master_fd, TIOCSWINSZ, &value) != 0) return fail_errno("ioctl TIOCSWINSZ");
  return {};
}

Result<std::string> parse_detach_keys(std::string_view text) {
  std::string keys;
  if (text.empty()) return keys;
  constexpr std::string_view kControl = "ctrl-";
  constexpr std::string_view kSpecial = "@[\\]^_";
  constexpr unsigned char kControlMask = 0x1f;
  for (const std::string& key : split(text, ',')) {
    if (key.size() == 1) {
      keys += key;
      continue;
    }
    const char last = key.empty() ? '\0' : key.back();
    const bool known = (last >= 'a' && last <= 'z') || kSpecial.find(last) != std::string::npos;
    if (key.size() != kControl.size() + 1 || !key.starts_with(kControl) || last == '\0' || !known) {
      return std::unexpected(
          Error(ErrorCode::kInvalidArgument,
                fmt::format("detach keys \"{}\": \"{}\" is no key", text, key))
              .hint("a key is one character or ctrl- and one of a-z @ [ \\ ] ^ _, as in "
                    "\"ctrl-p,ctrl-q\""));
    }
    keys += static_cast<char>(static_cast<unsigned char>(last) & kControlMask);
  }
  return keys;
}

DetachScanner::Result DetachScanner::feed(std::string_view typed) {
  Result result;
  if (keys_.empty()) {
    result.forward = typed;
    return result;
  }
  for (const char c : typed) {
    // What was held back is let go as far as it can't be the beginning any more.
    while (matched_ > 0 && keys_[matched_] != c) {
      size_t shorter = matched_ - 1;
      while (shorter > 0 && keys_.compare(0, shorter, keys_, matched_ - shorter, shorter) != 0) {
        --shorter;
      }
      result.forward.append(keys_, 0, matched_ - shorter);
      matched_ = shorter;
    }
    if (keys_[matched_] != c) {
      result.forward += c;
    } else if (++matched_ == keys_.size()) {
      matched_ = 0;
      result.detached = true;
      return result;
    }
  }
  return result;
}

}  // namespace trivet::monitor
