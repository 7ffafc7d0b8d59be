// The conversation between a monitor and whoever is attached to its container, or asks it for
// something: a SOCK_SEQPACKET socket, one frame a message, a type byte and its payload. Numbers are
// in the host's byte order: both ends are on one machine.
//
// Clients send kAttach first to take part in the streams; one that only asks leaves it out. stdin
// is flow controlled by credit: a client may have kStdinWindow bytes on the way and gets kCredit as
// they are taken, so the monitor always reads all frames and a signal never waits behind data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/record.h"

namespace trivet::monitor {

enum class Frame : uint8_t {
  // client to monitor
  kAttach = 'a',    // uint8_t: AttachBits
  kStdin = 'i',     // bytes
  kStdinEof = 'e',  //
  kDetach = 'd',    // the client goes, the container's stdin stays open
  kResize = 'w',    // WindowSize
  kSignal = 's',    // int32_t; answered by kDone or kError
  kStop = 'k',      // StopRequest; no restart follows; the answer is kExit
  kPause = 'p',     // answered by kDone or kError
  kResume = 'r',    // the same
  // monitor to client
  kStdout = 'o',  // bytes
  kStderr = 'O',  // bytes
  kCredit = 'c',  // uint32_t: bytes of stdin that were taken
  kDone = 'y',    //
  kExit = 'x',    // int32_t: the container has ended for good
  kError = 'f',   // JSON: {"code", "message", "hint", "exit_code"}
};

enum AttachBits : uint8_t { kAttachOutput = 1 };

struct WindowSize {
  uint16_t rows = 0;
  uint16_t columns = 0;
  friend bool operator==(const WindowSize&, const WindowSize&) = default;
};

struct StopRequest {
  int32_t signal = 0;     // 0: the container's stop signal
  int64_t grace_ms = -1;  // then SIGKILL; -1: the container's stop timeout
  friend bool operator==(const StopRequest&, const StopRequest&) = default;
};

inline constexpr size_t kStdinWindow = 128U << 10U;
inline constexpr size_t kMaxPayload = 64U << 10U;
inline constexpr size_t kMaxFrame = kMaxPayload + 1;

// A message as received: the payload points into the buffer that was given.
struct Message {
  Frame type = Frame::kDone;
  std::string_view payload;
};

// A frame as it goes into one send(2).
[[nodiscard]] std::string make_frame(Frame type, std::string_view payload = {});
[[nodiscard]] std::string make_frame(Frame type, int32_t value);
[[nodiscard]] std::string make_frame(WindowSize size);
[[nodiscard]] std::string make_frame(const StopRequest& request);
[[nodiscard]] std::string make_frame(const Error& error);

// kCorrupt when it is empty.
Result<Message> parse_frame(std::string_view bytes);
// Typed payloads; kCorrupt when the length is wrong.
Result<int32_t> read_number(std::string_view payload);
Result<WindowSize> read_window_size(std::string_view payload);
Result<StopRequest> read_stop_request(std::string_view payload);
// The Error that the other side sent.
[[nodiscard]] Error read_error(std::string_view payload);

// The JSON of kError.
[[nodiscard]] std::string print_error(const Error& error);
// 127 for kCommandNotFound, 126 for kCommandNotExecutable, else 125.
[[nodiscard]] int exit_code_for(const Error& error);

// What the monitor says on its --sync-fd, one line: {"pid":N} when the program runs, or
// {"error":{…}}.
[[nodiscard]] std::string print_started(pid_t init);
[[nodiscard]] std::string print_start_failure(const Error& error);
// The pid of the init, or the error; kSystem for an empty text: the monitor ended without a word.
Result<pid_t> parse_started(std::string_view line);

// Sockets by directory descriptor, so that their path's length does not matter.
Result<UniqueFd> listen_for_clients(const std::string& runtime_directory);
// kNotFound when no monitor listens.
Result<UniqueFd> connect_to_monitor(const Directories& directories, const std::string& id);
struct AttachPair {
  UniqueFd client;
  UniqueFd monitor;  // for --given-fd
};
Result<AttachPair> make_attach_pair();

// Blocking send and receive of a whole frame. receive_frame(): nothing at the end of the stream.
Result<> send_frame(int fd, std::string_view frame);
Result<std::optional<Message>> receive_frame(int fd, char* buffer, size_t size);

}  // namespace trivet::monitor
