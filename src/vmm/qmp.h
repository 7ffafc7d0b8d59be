// A conversation with QEMU's monitor, served by the event loop.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "vmm/qmp_message.h"

namespace trivet::vmm {

class Qmp {
 public:
  using Reply = std::function<void(Result<Json>)>;
  struct Handlers {
    std::function<void(const QmpEvent&)> on_event;
    // What came was malformed. That the other side has closed is told by QEMU's end, not here.
    std::function<void(const Error&)> on_failure;
  };

  Qmp(EventLoop& loop, UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {}
  Qmp(const Qmp&) = delete;
  Qmp& operator=(const Qmp&) = delete;
  ~Qmp() { close(); }

  // Also ends the negotiation of capabilities, so that commands can follow at once.
  Result<> open(Handlers handlers);
  void close();

  // Commands are answered in their order. Errors of QEMU name the command.
  void execute(std::string_view command, const Json& arguments, Reply reply);
  // Gives QEMU a duplicate of `fd`, which other commands then call "fd:NAME".
  void give_descriptor(std::string_view name, int fd, Reply reply);

 private:
  void send_command(std::string_view command, const Json& arguments, int fd, Reply reply);
  void read_some();
  void handle_line(std::string_view line);
  void answer(uint64_t id, Result<Json> result);
  void fail_with(const Error& error);

  struct Pending {
    std::string command;
    Reply reply;
  };
  EventLoop& loop_;
  UniqueFd socket_;
  Handlers handlers_;
  std::string buffer_;
  std::map<uint64_t, Pending> pending_;
  uint64_t next_id_ = 1;
};

}  // namespace trivet::vmm
