// Why a virtual machine ended: what the guest's kernel said on its console, what QEMU and virtiofsd
// said on stderr, and what QMP told, put into one line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/stdio.h"

namespace trivet::vmm {

// The end of a text that somebody wrote, in printable form.
class Tail {
 public:
  void add(std::string_view text);
  // The last line that says something.
  [[nodiscard]] std::string last_line() const;
  // The line in which the guest's kernel says that it panicked; empty: there is none.
  [[nodiscard]] std::string find_panic() const;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Reads a descriptor to its end into a tail, and copies it to another one if that is wanted and has
// room.
class Listener {
 public:
  Listener(EventLoop& loop, UniqueFd source, int copy_to);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() { close(); }

  Result<> open(std::function<void()> on_text);
  // What is there now, without waiting for the loop.
  void drain();
  [[nodiscard]] const Tail& tail() const { return tail_; }

 private:
  bool read_some();
  void close();

  EventLoop& loop_;
  UniqueFd source_;
  std::optional<OutputStream> copy_;
  Tail tail_;
  std::function<void()> on_text_;
};

}  // namespace trivet::vmm
