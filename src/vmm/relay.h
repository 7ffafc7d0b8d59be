// A program in the guest, and this process that stands for it: stdio, signals, the terminal's size.
// The container's init and a program of `exec` are both relayed so, over the agent's connection and
// over the control socket.
#pragma once

#include <functional>
#include <optional>

#include "base/event_loop.h"
#include "base/result.h"
#include "vmm/connection.h"
#include "vmm/stdio.h"

namespace trivet::vmm {

// Every signal that can be caught, blocked in this thread from block() on and handed out by a
// descriptor. What is sent meanwhile is kept by the kernel.
class Signals {
 public:
  static Result<Signals> block();
  [[nodiscard]] int fd() const { return fd_.get(); }
  // The next signal that somebody has sent; 0 when there is none. Not SIGPIPE of our own writes,
  // and not the kernel's own about children, for which there is on_child().
  int take();
  void on_child(std::function<void()> action) { on_child_ = std::move(action); }

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
  std::function<void()> on_child_;
};

class Relay {
 public:
  struct Options {
    uint32_t session = 0;
    bool terminal = false;                         // 0 is a pty's slave
    std::function<void()> on_input_end = nullptr;  // instead of telling the guest
  };
  // Opens the descriptors at once, while there are the rights to.
  Relay(EventLoop& loop, Connection& peer, Signals& signals, Options options);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay() { stop(); }

  // The terminal's size goes to the guest, and what is typed comes through as it is.
  Result<> prepare_terminal() const;
  // Input and signals from now on.
  Result<> start();
  void stop();

  // kStdout, kStderr and kCredit of this session. kCorrupt: the peer keeps no rules.
  Result<> handle(const guest::Frame& frame);

  // Calls `done` as soon as all output has been written, now or later.
  void when_drained(std::function<void()> done);

 private:
  struct Output {
    guest::FrameType type;
    OutputStream stream;
    size_t received = 0;  // and not taken yet
    bool told_broken = false;
  };
  Result<> take_output(Output& output, std::string_view data);
  void forward_signals();
  void send_signal(int signal);
  void send_size();
  void credit(guest::FrameType type, size_t bytes);
  void check_drained();

  EventLoop& loop_;
  Connection& peer_;
  Signals& signals_;
  Options options_;
  InputStream input_;
  Output stdout_;
  Output stderr_;
  std::function<void()> when_drained_;
  bool started_ = false;
};

}  // namespace trivet::vmm
