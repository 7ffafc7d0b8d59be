// What a command of trivet is: its words, options, help and action, declared once.
//
// Everything a person meets is made from these declarations: the parser (parse.h), --help, the man
// pages, docs/commands.md and the shell completions. A declaration is built only when its command
// is asked for, so `trivet run` does not pay for the other forty.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::cli {

class Session;

// What a shell offers for a value or an argument.
enum class Completes {
  kNothing,
  kFile,
  kDirectory,
  kContainer,
  kImage,
  kVolume,
  kPod,
  kCommand,  // a command of trivet
};

struct OptionSpec {
  std::string names;                 // as typed, comma-separated, short first: "-e,--env"
  std::string placeholder;           // of its value, "NAME=VALUE"; empty for a flag
  std::string help;                  // one sentence without a full stop
  std::string group;                 // heading in the help; empty: "Options"
  std::string initial;               // the default, where there is one worth showing
  std::vector<std::string> choices;  // the usual values, offered by completion
  Completes completes = Completes::kNothing;
  bool repeatable = false;
  bool hidden = false;  // a spelling kept for users of other tools
  bool* flag = nullptr;
  // Takes one value as typed; called for each occurrence in order. Empty for flags.
  std::function<Result<>(const std::string&)> store;

  // The first long name, "--env" of "-e,--env".
  [[nodiscard]] std::string long_name() const;
  // {"-e", "--env"}.
  [[nodiscard]] std::vector<std::string> all_names() const;

  OptionSpec& defaults_to(std::string text);
  OptionSpec& one_of(std::vector<std::string> values);
  OptionSpec& completed_by(Completes kind);
  OptionSpec& hide();
};

struct Example {
  std::string command;
  std::string what;
};

inline constexpr size_t kAnyNumber = 1U << 20U;

struct Command {
  std::string path;                 // "run", "image inspect"
  std::string summary;              // one line, no full stop
  std::string description;          // further paragraphs; may be empty
  std::vector<std::string> usages;  // what follows the path and [OPTIONS]
  std::vector<OptionSpec> options;
  size_t min_arguments = 0;
  size_t max_arguments = 0;
  std::vector<Completes> completes;  // of the arguments; the last one repeats
  // Everything after the first argument belongs to another program.
  bool stops_at_first_argument = false;
  int usage_code = 2;    // exit code for a wrong command line
  int failure_code = 1;  // exit code for a failure of the command itself
  std::vector<Example> examples;
  std::function<Result<int>(Session&, const std::vector<std::string>&)> action;

  // Options declared next are shown under this heading.
  Command& section(std::string heading);
  // The command takes between `min` and `max` arguments, shown as `usage`.
  Command& takes(std::string usage, size_t min, size_t max, Completes kind);
  Command& example(std::string command, std::string what);

  // The targets must outlive the command's action. The references returned are good until the next
  // declaration.
  OptionSpec& flag(std::string names, bool& target, std::string help);
  OptionSpec& value(std::string names, std::string placeholder, std::string& target,
                    std::string help);
  OptionSpec& list(std::string names, std::string placeholder, std::vector<std::string>& target,
                   std::string help);
  OptionSpec& parsed(std::string names, std::string placeholder,
                     std::function<Result<>(const std::string&)> store, std::string help);

 private:
  OptionSpec& add(OptionSpec option);
  std::string section_;
};

}  // namespace trivet::cli
