// One program in the guest, seen from the host: its streams, its end.
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "guest/protocol.h"
#include "guest/vminit/port.h"

namespace trivet::guest {

// The deadlines of the loop: those of sessions have the session's number, which is above 0.
// Those of containers go downwards from kMemory, by their numbers.
enum class Timer : int { kHost = 0, kMemory = -1 };

// Our ends of a program's streams. With a terminal `in` and `out` are its master.
struct StreamEnds {
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  bool terminal = false;
};

// Pipes, and what the program gets of them.
struct ProgramPipes {
  StreamEnds ours;
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
  [[nodiscard]] container::Stdio stdio() const {
    return {.stdin_fd = in.get(), .stdout_fd = out.get(), .stderr_fd = err.get()};
  }
};
Result<ProgramPipes> make_program_pipes();
// /dev/null three times: nobody wants the streams.
Result<ProgramPipes> make_null_streams();
// Both ends of a terminal's master.
Result<StreamEnds> make_terminal_ends(UniqueFd master);
// Both directions of a stream socket.
Result<StreamEnds> make_socket_ends(UniqueFd socket);

class Session {
 public:
  // `finished` is called once, when the program has ended and all of its output is on its way. It
  // may destroy the session.
  Session(uint32_t id, EventLoop& loop, Port& port, std::function<void(Session&)> finished);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  [[nodiscard]] uint32_t id() const { return id_; }
  [[nodiscard]] pid_t pid() const { return pid_; }  // 0 once it has ended
  [[nodiscard]] int exit_code() const { return exit_code_.value_or(0); }

  // The program exists. Its output is read from open_streams() on.
  void attach(pid_t pid, StreamEnds ends);
  void open_streams();
  // There is no program, but a connection, whose end is the session's.
  void attach_connection(StreamEnds ends);
  // It was reaped.
  void ended(int exit_code);

  // What the host sends; an error is a violation of the protocol.
  Result<> take_input(std::string_view data);
  Result<> end_input();
  Result<> take_credit(const Credit& credit);
  void resize(WindowSize size);

  // Whether the port takes more: output is not read meanwhile.
  void set_congested(bool congested);

 private:
  struct Output {
    UniqueFd fd;
    FrameType type = FrameType::kStdout;
    uint32_t window = kStreamWindow;
    bool watched = false;
  };

  void update_output(Output& output);
  void update_outputs();
  void read_output(Output& output);
  void close_output(Output& output);
  void update_input();
  void write_input();
  [[nodiscard]] bool takes_input() const { return pid_ != 0 || connected_; }
  void credit_input(size_t bytes);
  void close_input();
  [[nodiscard]] Timer timer() const { return Timer{static_cast<int>(id_)}; }
  void drain_for_a_while();
  void finish_if_drained();

  uint32_t id_;
  EventLoop& loop_;
  Port& port_;
  std::function<void(Session&)> finished_;
  pid_t pid_ = 0;
  bool connected_ = false;
  bool terminal_ = false;
  bool open_ = false;
  bool congested_ = false;
  std::optional<int> exit_code_;
  std::array<Output, 2> outputs_;

  UniqueFd input_;
  std::string pending_;  // input that is not written yet: at most a window
  size_t written_ = 0;   // of pending_
  bool input_watched_ = false;
  bool input_ended_ = false;  // the host has said so
};

}  // namespace trivet::guest
