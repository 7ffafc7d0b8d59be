// One extension as a child: its pipes, and what it may not do.
#pragma once

#include <functional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/extension_message.h"
#include "pod/line_buffer.h"

namespace trivet::pod {

class ExtensionProcess {
 public:
  struct Handlers {
    std::function<void(const ExtensionRequest& request)> request;
    // Once; nothing else comes after it.
    std::function<void(const std::string& message)> ended;
  };

  ExtensionProcess(EventLoop& loop, Handlers handlers)
      : loop_(loop), handlers_(std::move(handlers)) {}
  ~ExtensionProcess() { close(); }
  ExtensionProcess(const ExtensionProcess&) = delete;
  ExtensionProcess& operator=(const ExtensionProcess&) = delete;

  Result<> start(const std::vector<std::string>& argv);
  [[nodiscard]] pid_t pid() const { return pid_; }
  // One that does not read what it is told is ended.
  void send(const std::string& line);
  // It was reaped.
  void note_end(int exit_code);

 private:
  Result<> watch();
  void close();
  void serve_input();   // what it is told
  void serve_output();  // what it says
  void serve_errors();  // its stderr, of which the last words are kept
  Result<bool> read_output();
  Result<> take_lines();
  void give_up(const std::string& message);
  void tell_end(const std::string& message);

  EventLoop& loop_;
  Handlers handlers_;
  pid_t pid_ = 0;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd errors_;
  std::string pending_;  // for its input
  LineBuffer lines_{kMaxExtensionLine};
  std::string last_words_;
  // It waits for an answer: until then it is not listened to, so that it cannot ask without end.
  bool waits_ = false;
  bool ended_ = false;
};

}  // namespace trivet::pod
