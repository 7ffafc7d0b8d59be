// The engine's side of a start, as container/stage has it for a native program: "ready", then "go"
// by the creator or by whoever connects to the start socket, then an end of the conversation
// without a word, which is the proof that the program runs; or the words why it does not.
#pragma once

#include <functional>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::vmm {

// Says kPayloadFailed with the words to whoever is at the other end.
void send_failure(int conversation, const Error& error);

class Engine {
 public:
  struct Handlers {
    std::function<void()> on_go;
    std::function<void()> on_abandoned;  // the creator has gone before it said "keep"
  };
  // `sync` -1: nobody is there, and the program starts by itself. `listener` may be -1.
  Engine(EventLoop& loop, int sync, int listener) : loop_(loop), sync_(sync), listener_(listener) {}
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() { close(); }

  [[nodiscard]] bool is_open() const { return sync_.valid() || conversation_.valid(); }
  // From now on the creator's end is noticed.
  Result<> open(Handlers handlers);
  // The container is made.
  void say_ready();
  // The program runs: nobody is to be told anything more.
  void close();
  // Why it could not be created or started.
  void say_failed(const Error& error);

 private:
  void hear_creator();
  void accept_starter();
  void hear_starter(int fd);
  void go(UniqueFd conversation);
  void forget_all();

  EventLoop& loop_;
  UniqueFd sync_;
  UniqueFd listener_;
  std::vector<UniqueFd> starters_;  // connected, and silent yet
  UniqueFd conversation_;           // with whoever said "go"
  Handlers handlers_;
  bool ready_ = false;
  bool kept_ = false;
};

}  // namespace trivet::vmm
