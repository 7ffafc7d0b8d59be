// The caller's own terminal: raw mode, its size, and the keys that detach.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <termios.h>

#include "base/result.h"
#include "monitor/attach.h"

namespace trivet::monitor {

// Puts a terminal into raw mode and restores it when the object goes.
class RawTerminal {
 public:
  static Result<RawTerminal> enter(int fd);
  RawTerminal(RawTerminal&& other) noexcept;
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  RawTerminal& operator=(RawTerminal&&) = delete;
  ~RawTerminal() { restore(); }
  void restore();

 private:
  RawTerminal(int fd, const termios& saved) : fd_(fd), saved_(saved) {}
  int fd_ = -1;
  termios saved_{};
};

// Nothing when `fd` is no terminal.
std::optional<WindowSize> terminal_size(int fd);
// TIOCSWINSZ on a pty's master: its foreground processes get SIGWINCH.
Result<> set_terminal_size(int master_fd, WindowSize size);

// "ctrl-p,ctrl-q": keys separated by commas, each one character or "ctrl-" and one of a-z @ [ \ ] ^
// _. Empty: no keys. The result is the bytes the terminal sends.
Result<std::string> parse_detach_keys(std::string_view text);

// Looks for the key sequence in what is typed. A beginning of it is held back until it is clear
// whether it goes on.
class DetachScanner {
 public:
  explicit DetachScanner(std::string keys) : keys_(std::move(keys)) {}

  struct Result {
    std::string forward;  // what the container gets
    bool detached = false;
  };
  Result feed(std::string_view typed);

 private:
  std::string keys_;
  size_t matched_ = 0;
};

}  // namespace trivet::monitor
