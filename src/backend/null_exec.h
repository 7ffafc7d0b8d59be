// Inside of the null backend: a command's script, played over the caller's streams.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "trivet/exec.h"
#include "trivet/null_runtime.h"

namespace trivet::backend {

// What the caller gives a command to read, whatever form it has.
class NullInput {
 public:
  NullInput(const ExecStdio::Input& input, const ExecCommand& command);

  // Up to `count` bytes: fewer only at the end. kTimeout, kCanceled.
  Result<std::string> read(size_t count);

 private:
  // False at the end of the input.
  Result<bool> read_more();
  Result<bool> read_descriptor(int fd);

  const ExecStdio::Input& input_;
  std::stop_token stop_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::string data_;
};

class ExecPlayer {
 public:
  ExecPlayer(const ExecScript& script, const ExecCommand& command, const ExecStdio& stdio)
      : script_(script), command_(command), stdio_(stdio), input_(stdio.stdin, command) {}

  // The exit code. An error that is none of the script's, the caller's or of time is a mismatch.
  Result<int> play();
  // What differed from the script, if something did.
  [[nodiscard]] const std::optional<std::string>& mismatch() const { return mismatch_; }

 private:
  Result<> check_env();
  Result<> play_step(const ExecScript::Step& step, size_t number);
  Result<> read(const std::string& expected, size_t number);
  Result<> read_end(size_t number);
  Result<> hang();
  static Result<> print(const ExecStdio::Output& output, std::string_view bytes);
  std::unexpected<Error> differs(std::string text);

  const ExecScript& script_;
  const ExecCommand& command_;
  const ExecStdio& stdio_;
  NullInput input_;
  std::optional<int> exit_code_;
  std::optional<std::string> mismatch_;
};

}  // namespace trivet::backend
