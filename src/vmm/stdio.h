// The container's own stdio, read and written without ever blocking, whatever it is: pipes,
// sockets, terminals, files, /dev/null. The descriptions behind it belong to others too, so their
// flags stay as they are.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::vmm {

enum class Access { kRead, kWrite };

// A descriptor of 0, 1 or 2, made fit for that.
class StdioFd {
 public:
  StdioFd(int fd, Access access);
  [[nodiscard]] int fd() const { return own_ ? own_.get() : fd_; }
  // False: read(2) and write(2) never wait, and epoll(7) won't have it.
  [[nodiscard]] bool is_pollable() const { return kind_ != Kind::kDirect; }
  // As read(2) and write(2); EAGAIN when it would wait.
  ssize_t read(char* data, size_t size) const;
  ssize_t write(std::string_view data) const;

 private:
  enum class Kind {
    kDirect,    // a file, or a device that never waits
    kSocket,    // flags of each call keep it from waiting
    kReopened,  // a description of our own, with O_NONBLOCK
    kCareful,   // could not be opened again: only as much as surely goes
  };
  int fd_;
  UniqueFd own_;
  Kind kind_ = Kind::kDirect;
};

// What goes to stdout or stderr. Without a reader everything is dropped.
class OutputStream {
 public:
  // `on_taken` gets the bytes that have been written, or dropped.
  OutputStream(EventLoop& loop, int fd, std::function<void(size_t)> on_taken)
      : loop_(loop), target_(fd, Access::kWrite), on_taken_(std::move(on_taken)) {}
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;
  ~OutputStream() { watch(false); }

  void add(std::string_view data);
  [[nodiscard]] size_t pending() const { return pending_.size() - begin_; }
  [[nodiscard]] bool is_broken() const { return broken_; }

 private:
  void write_some();
  // The bytes that went, all of them when nobody reads any more.
  size_t try_write(std::string_view data);
  void watch(bool wanted);

  EventLoop& loop_;
  StdioFd target_;
  std::function<void(size_t)> on_taken_;
  std::string pending_;
  size_t begin_ = 0;
  bool watched_ = false;
  bool broken_ = false;
};

// What comes from stdin, as much as the other side has room for.
class InputStream {
 public:
  struct Handlers {
    std::function<void(std::string_view)> on_data;
    std::function<void()> on_end;
  };
  InputStream(EventLoop& loop, int fd, size_t window, Handlers handlers)
      : loop_(loop), source_(fd, Access::kRead), window_(window), handlers_(std::move(handlers)) {}
  InputStream(const InputStream&) = delete;
  InputStream& operator=(const InputStream&) = delete;
  ~InputStream() { stop(); }

  void start();
  void stop();
  // There is room for so many bytes more. kCorrupt: more than was sent.
  Result<> credit(size_t bytes);

 private:
  void update();
  void read_some();

  EventLoop& loop_;
  StdioFd source_;
  size_t window_;
  size_t sent_ = 0;  // and not taken yet
  Handlers handlers_;
  bool started_ = false;
  bool watched_ = false;
  bool ended_ = false;
};

}  // namespace trivet::vmm
