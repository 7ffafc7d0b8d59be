// Inside of module monitor: the caller's side of a pump, whatever is at the other end.
#pragma once

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <sys/signalfd.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/attach_client.h"
#include "monitor/terminal.h"

namespace trivet::monitor {

// Blocks the forwarded signals in this thread and hands them out through a descriptor; undone when
// the object goes.
class SignalTap {
 public:
  enum class Forward { kNo, kYes };  // kNo: SIGWINCH only
  static Result<SignalTap> open(Forward forward);
  SignalTap(SignalTap&& other) noexcept
      : fd_(std::move(other.fd_)), saved_(other.saved_), saved_pipe_(other.saved_pipe_) {}
  SignalTap(const SignalTap&) = delete;
  SignalTap& operator=(const SignalTap&) = delete;
  SignalTap& operator=(SignalTap&&) = delete;
  ~SignalTap();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // The next signal; 0 when there is none.
  int take();

 private:
  SignalTap(UniqueFd fd, const sigset_t& saved, const struct sigaction& saved_pipe)
      : fd_(std::move(fd)), saved_(saved), saved_pipe_(saved_pipe) {}
  UniqueFd fd_;
  sigset_t saved_{};
  struct sigaction saved_pipe_{};
};

// What goes to one of the caller's descriptors without ever blocking in write(2): a pipe whose
// reader is slow must not keep signals waiting.
class OutputEnd {
 public:
  explicit OutputEnd(int fd);

  void add(std::string_view data) { pending_.append(data); }
  [[nodiscard]] bool waiting() const { return begin_ < pending_.size(); }
  [[nodiscard]] int fd() const { return fd_; }
  // Writes what goes without waiting; call it when poll(2) says POLLOUT, POLLERR or POLLHUP. False
  // when nobody reads any more: the rest and all that follows is dropped.
  bool write_some();

 private:
  int fd_;
  bool stream_ = false;  // a pipe or socket
  bool closed_ = false;
  std::string pending_;
  size_t begin_ = 0;
};

// The caller's terminal or stdin, as the options want it.
class InputEnd {
 public:
  static Result<InputEnd> open(const AttachOptions& options);

  // What was typed for the other side; detached when the keys came; ended at the end of stdin.
  struct Input {
    std::string data;
    bool detached = false;
    bool ended = false;
  };
  Input read_some(size_t limit);
  // -1: nothing (more) is to be read.
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool raw() const { return raw_.has_value(); }
  void restore() {
    if (raw_) raw_->restore();
  }

 private:
  InputEnd(int fd, std::string keys) : fd_(fd), scanner_(std::move(keys)) {}
  int fd_;
  DetachScanner scanner_;
  std::optional<RawTerminal> raw_;
};

}  // namespace trivet::monitor
