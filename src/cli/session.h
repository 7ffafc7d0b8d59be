// What the actions of all commands share: the global options, the engine, and the two streams.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "trivet/engine.h"

namespace trivet::cli {

struct Globals {
  std::string data_dir;      // empty: the engine's default
  std::string state_dir;     // the same
  std::string error_format;  // "text" or "json"; empty: TRIVET_ERROR_FORMAT, else text
};

// The options every command accepts, stored in `globals`, which must outlive them.
std::vector<OptionSpec> global_options(Globals& globals);

class Session {
 public:
  explicit Session(Globals globals) : globals_(std::move(globals)) {}

  // As given on the command line; empty: the default.
  [[nodiscard]] const std::string& data_dir() const { return globals_.data_dir; }

  // The engine, opened at its first use.
  Result<Engine*> engine();
  // What it is opened with. An ordinary user is then in the user namespace of his containers.
  Result<EngineOptions> engine_options() const;
  // For a command that starts a container and stays, ahead of all else that it does: see
  // SpareProcess. Root's alone: an ordinary user's command goes on in a user namespace, where a
  // copy from before would not be. Only a saving: when it can't be made nothing is missing.
  void make_spare();

  // Buffered; flush() tells when the reader is gone or the disk is full.
  void print(std::string_view text);
  Result<> flush();

  // One error on stderr in the chosen format.
  void report(const Error& error) const;
  // What is no failure but should be known, on stderr.
  void warn(std::string_view text) const;
  // A remark on stderr that is no error. Left out with JSON errors.
  void remark(std::string_view text) const;

  // A line on stderr about work that goes well.
  static void status(std::string_view text);

  // True when stdout, or stderr, is a terminal.
  [[nodiscard]] static bool stdout_is_terminal();
  [[nodiscard]] static bool stderr_is_terminal();
  [[nodiscard]] static bool stdin_is_terminal();

 private:
  [[nodiscard]] bool errors_as_json() const;

  Globals globals_;
  std::shared_ptr<SpareProcess> spare_;
  std::optional<Engine> engine_;
};

// The lines a person reads: "trivet: …", "hint: …", "note: …", control characters made visible.
std::string error_text(const Error& error);
// The same as one JSON object on a line: code, message, hint, notes, and errno where there is one.
std::string error_json(const Error& error);

// "cannot stop "web": …", unless the engine has already said what it could not do.
Error cannot(std::string_view verb, std::string_view name, Error error);

}  // namespace trivet::cli
