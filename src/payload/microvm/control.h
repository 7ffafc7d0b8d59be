// The host's way into a running microVM's guest: requests to the agent, and streams of copies,
// through the control socket of trivet-vmm. Blocking, with a deadline on everything; one object is
// one thread's.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/messages.h"
#include "guest/protocol.h"

namespace trivet::payload::microvm {

// To the control socket of the microVM, or of a member of one, whose init this is. Does not block.
// kWrongState: none runs there.
Result<UniqueFd> connect_to_machine(const ProcessId& init);

// A process of the container as its guest knows it.
struct GuestProcess {
  int64_t pid = 0;
  int64_t ppid = 0;
  int64_t uid = 0;
  int64_t time_ms = 0;  // of the processor
  std::string state;    // one letter, as in /proc/PID/stat
  std::string command;
};

class Control {
 public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kPatience{10000};

  // `init` is the container's init on the host. `patience` is how long one request may take, and
  // how long a copy may stand still. kWrongState: no virtual machine runs there, or its container
  // is not made yet.
  static Result<Control> connect(const ProcessId& init, Milliseconds patience = kPatience);
  // Over a socket that is connected already.
  static Control adopt(UniqueFd socket, Milliseconds patience = kPatience);

  // One of the operations of guest/messages.h and its answer. Errors are the agent's, kTimeout, or
  // kNetwork when the machine ends meanwhile.
  Result<Json> request(const guest::Request& request);

  Result<> ping();
  Result<guest::Stats> stats();
  Result<std::vector<GuestProcess>> processes();
  Result<> freeze();
  Result<> thaw();
  // `resources` is linux.resources of runtime-spec.
  Result<> update(const std::string& resources);

  // The next bytes of the copy; empty at the end.
  using Source = std::function<Result<std::string>()>;
  using Sink = std::function<Result<>(std::string_view)>;
  Result<> copy_in(const guest::CopyRequest& copy, const Source& source);
  Result<> copy_out(const guest::CopyRequest& copy, const Sink& sink);

 private:
  using Clock = std::chrono::steady_clock;
  Control(UniqueFd socket, Milliseconds patience)
      : socket_(std::move(socket)), patience_(patience), reader_(guest::Direction::kToHost) {}

  Result<> do_simple(std::string operation);
  Result<> send(guest::FrameType type, uint32_t session, std::string_view payload);
  // The next frame of this session; those of sessions that were given up are passed over.
  Result<guest::Frame> receive(uint32_t session);
  Result<> fill(Clock::time_point deadline);
  Result<> wait_for(short events, Clock::time_point deadline);
  Result<> send_chunk(uint32_t session, std::string_view data, size_t& on_the_way);
  Result<> take_credit(const guest::Frame& frame, size_t& on_the_way);
  // An error of ours: the guest shall not go on.
  void abandon(uint32_t session);

  UniqueFd socket_;
  Milliseconds patience_;
  guest::FrameReader reader_;
  uint32_t next_session_ = guest::kFirstRequestSession;
};

}  // namespace trivet::payload::microvm
