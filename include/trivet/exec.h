// A command inside a running container, with its streams connected to the caller: what
// Runtime::exec(), Runtime::exec_stdio() and Engine::exec_stdio() take and give.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "trivet/result.h"

namespace trivet {

// What is to be run. A command that is over its `timeout`, or whose `stop` is requested, gets
// SIGTERM, two seconds later SIGKILL; then the call fails with kTimeout or kCanceled.
struct ExecCommand {
  // The program, by path or found in the container's PATH, and its arguments. Never empty:
  // kInvalidArgument. Nothing is expanded: there is no shell unless argv names one.
  std::vector<std::string> argv;
  // "NAME=VALUE", put over the container's own environment.
  std::vector<std::string> env;
  std::string workdir;  // absolute; empty: the container's
  std::string user;     // a name or uid[:gid] of the container; empty: the container's
  std::optional<std::chrono::milliseconds> timeout;  // none: as long as it takes
  std::stop_token stop;                              // ends the command, as a timeout does
  // Of Runtime::exec(), which keeps the output in memory: bytes of stdout and of stderr, each. A
  // command that prints more is ended as by a timeout, and the call fails with kLimitExceeded.
  size_t output_limit = size_t{64} << 20U;
};

// How a command that ran to its end has ended, and what it printed.
struct ExecResult {
  int exit_code = 0;   // 128 + N when signal N has ended it
  std::string stdout;  // bytes as they came: not necessarily text
  std::string stderr;  // likewise

  // Whether the exit code is 0.
  [[nodiscard]] bool ok() const { return exit_code == 0; }
};

// The next bytes of a command's input; nothing at its end. It is called by the thread that waits
// for the command, whenever more can be taken, and must not block: deadlines are not looked at
// meanwhile. Input that has to be waited for comes from a descriptor. An error ends the command,
// and the call fails with it.
using ByteSource = std::function<Result<std::optional<std::string>>()>;
// Takes bytes of a command's output, by the same thread, with the same rules.
using ByteSink = std::function<Result<>(std::string_view bytes)>;

// Where a command's streams lead. By default the input is empty and the output is dropped.
// Descriptors stay the caller's: they are neither closed nor made non-blocking, and never get into
// the container; bytes are carried between them and pipes. Whatever is read from a descriptor and
// not taken by the command before it ends is lost.
struct ExecStdio {
  // Nothing, a descriptor to read from, the bytes themselves, or a function.
  using Input = std::variant<std::monostate, int, std::string, ByteSource>;
  // Dropped, written to a descriptor, or handed to a function.
  using Output = std::variant<std::monostate, int, ByteSink>;

  Input stdin;    // nothing, a descriptor to read from, the bytes themselves, or a function
  Output stdout;  // where what it prints goes
  Output stderr;  // likewise
};

}  // namespace trivet
