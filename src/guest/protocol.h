// The agent protocol: what trivet-vmm on the host and trivet-vminit in the guest say to each other.
//
// One byte stream (a virtio-serial port named kAgentPort), frames in both directions. A frame is a
// header of 12 bytes (little endian) and a payload. Several conversations share the stream; each
// has a session number, chosen by the host:
//
//   0     the agent itself: kReady, kWake, kAwake
//   1     the container's program: kCreate, kStart, then its streams
//   2 …   one request each (kExec, kRequest, kCopyIn, kCopyOut, kConnect), and its streams; or the
//         program of a further container: kCreate, kStart, then its streams
//
// The guest of a pod holds several containers. Each has a number: 0 is the machine's own, that of
// session 1. A frame that begins a session says in its header which container it is about.
//
// Life of a guest: it boots, opens the port once and says kReady. Nothing is sent to it before
// that. The host says kWake: the time, fresh entropy, who the guest is (a guest that was restored
// from a template repeats the template's random numbers and clock until then); the answer is
// kAwake. kCreate makes the container up to the moment before its program is executed: kDone or
// kFailed. kStart lets it run: kDone or kFailed. kExit ends session 1; kRequest "shutdown" writes
// everything back and powers off.
//
// Streams are flow controlled: a sender may have kStreamWindow bytes of one stream of one session
// on the way, and gets kCredit as they are taken. So whoever reads the port never has to wait for a
// reader of a stream, and a signal never waits behind data.
//
// Both ends take the other for hostile: lengths, types, sessions and credits are checked, and what
// is wrong ends the connection (guest: power off; host: the VM is ended, with words).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::guest {

inline constexpr uint32_t kProtocolVersion = 3;
inline constexpr const char* kAgentPort = "dev.trivet.agent";
inline constexpr const char* kShareTag =
    "trivet";  // of the one virtiofs device, where there is one

inline constexpr uint32_t kAgentSession = 0;
inline constexpr uint32_t kInitSession = 1;
inline constexpr uint32_t kFirstRequestSession = 2;
inline constexpr uint32_t kMaxSessions = 256;  // open at once
inline constexpr uint8_t kMaxContainers = 64;  // besides the machine's own: 1 to 64

inline constexpr size_t kHeaderSize = 12;
inline constexpr size_t kMaxData = 64U << 10U;     // payload of a stream's frame
inline constexpr size_t kMaxDocument = 4U << 20U;  // payload of a frame with JSON, host to guest
inline constexpr size_t kMaxAnswer = 1U << 20U;    // the same, guest to host
inline constexpr uint32_t kStreamWindow = 256U << 10U;

enum class FrameType : uint8_t {
  // guest to host
  kReady = 'R',   // JSON Ready; session 0, once
  kAwake = 'A',   // session 0, answers kWake; kFailed there, too
  kDone = 'y',    // the request was carried out; payload empty
  kFailed = 'f',  // JSON error: {"code", "message", "hint", "errno"}; ends the session, unless it
                  // answers kCreate or kStart of session 1
  kAnswer = 'a',  // JSON, answers kRequest and ends the session
  kStdout = 'o',  // bytes; with a terminal everything comes here
  kStderr = 'O',  // bytes
  kExit = 'x',    // Exit; the program has ended and all of its output was sent; ends the session
  // host to guest
  kWake = 'w',     // JSON Wake; session 0
  kCreate = 'C',   // JSON CreateRequest; session 1, or a new one with a container's number. What
                   // is left of an earlier container with that number is ended
  kAdopt = 'D',    // JSON CreateRequest: the container that kCreate made before the guest was saved
                   // becomes this one's. Session 1, before kStart; kDone or kFailed
  kStart = 'S',    // the session of a kCreate
  kExec = 'E',     // JSON ExecRequest; kDone when the program was executed, or kFailed
  kRequest = 'Q',  // JSON {"operation": …, …}: see messages.h
  kCopyIn = 'I',   // JSON CopyRequest: then the host sends kStdin (copy stream), kStdinEof; kDone
  kCopyOut = 'U',  // JSON CopyRequest: then the guest sends kStdout (copy stream); kExit
  kConnect = 'T',  // JSON ConnectRequest: kDone when it is connected; then kStdin and kStdout are
                   // the connection's bytes, and kExit comes when the other side has ended it
  kStdin = 'i',    // bytes
  kStdinEof = 'e',  //
  kSignal = 's',    // uint32_t signal, to the session's program; not answered
  kResize = 'z',    // uint16_t rows, uint16_t columns; not answered
  kAbandon = 'q',   // the host's client has gone: end the session's program with SIGKILL
  // both
  kCredit = 'c',  // uint8_t stream (the FrameType of its data), uint32_t bytes that were taken
};

struct Header {
  uint32_t size = 0;  // of the payload
  uint32_t session = 0;
  FrameType type = FrameType::kDone;
  uint8_t container = 0;  // above 0 only in frames that begin a session
};

// A frame that was received; the payload points into the reader's buffer and is valid until the
// reader is used again.
struct Frame {
  FrameType type = FrameType::kDone;
  uint32_t session = 0;
  std::string_view payload;
  uint8_t container = 0;
};

// Which way frames go that a reader takes: the types that are allowed and how long they may be.
enum class Direction { kToGuest, kToHost };

[[nodiscard]] std::array<char, kHeaderSize> print_header(const Header& header);
[[nodiscard]] std::string make_frame(FrameType type, uint32_t session,
                                     std::string_view payload = {}, uint8_t container = 0);
[[nodiscard]] std::string make_number_frame(FrameType type, uint32_t session, uint32_t number);
[[nodiscard]] std::string make_credit(uint32_t session, FrameType stream, uint32_t bytes);
[[nodiscard]] std::string make_resize(uint32_t session, uint16_t rows, uint16_t columns);

// Typed payloads; kCorrupt when the length is wrong.
Result<uint32_t> read_number(std::string_view payload);
struct Credit {
  FrameType stream = FrameType::kStdout;
  uint32_t bytes = 0;
};
Result<Credit> read_credit(std::string_view payload);
struct WindowSize {
  uint16_t rows = 0;
  uint16_t columns = 0;
};
Result<WindowSize> read_resize(std::string_view payload);

// kExit: how a program ended. 128 + N for signal N, as everywhere in trivet.
struct Exit {
  uint8_t code = 0;
  bool oom_killed = false;
};
[[nodiscard]] std::string make_exit(uint32_t session, const Exit& exit);
Result<Exit> read_exit(std::string_view payload);

// The JSON of kFailed, and back. What the other side says about itself is data: unknown codes
// become kSystem, texts are cut to a length and made printable.
[[nodiscard]] std::string print_error(const Error& error);
[[nodiscard]] Error parse_error(std::string_view payload);

// Cuts a byte stream into frames. One object a connection and direction.
class FrameReader {
 public:
  explicit FrameReader(Direction direction) : direction_(direction) {}
  // Space to read(2) into, and how much was read.
  [[nodiscard]] char* space(size_t at_least);
  [[nodiscard]] size_t space_size() const;
  void added(size_t count);
  // The next whole frame; nothing when more bytes are needed. kCorrupt: the stream is to be ended.
  Result<std::optional<Frame>> next();

 private:
  Direction direction_;
  std::string buffer_;
  size_t begin_ = 0;  // of what is not consumed yet
  size_t end_ = 0;
};

}  // namespace trivet::guest
