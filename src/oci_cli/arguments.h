// The command line of trivet-oci: what runc and crun accept, as data.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::oci_cli {

struct OptionSpec {
  const char* name;             // "bundle"
  char letter = 0;              // 'b', or 0
  const char* value = nullptr;  // what it takes, for the help; null: a flag
  const char* help = "";
};

struct CommandSpec {
  const char* name;
  const char* operands;  // "ID", for the help
  size_t min_operands;
  size_t max_operands;
  const char* help;
  std::vector<OptionSpec> options;
};

// Options given more than once keep every value.
class Arguments {
 public:
  [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }
  // The last value, or `fallback`.
  [[nodiscard]] std::string get(const std::string& name, const std::string& fallback = "") const;
  [[nodiscard]] std::vector<std::string> all(const std::string& name) const;
  [[nodiscard]] const std::vector<std::string>& operands() const { return operands_; }

  void add(const std::string& name, std::string value) {
    values_[name].push_back(std::move(value));
  }
  void add_operand(std::string value) { operands_.push_back(std::move(value)); }

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> operands_;
};

// Parses options up to the first operand (`stop_at_operand`) or everywhere. "--name value",
// "--name=value", "-n value" and, as go-runc writes it, "-name". `next` is left at the first word
// that was not consumed. Unknown options are kInvalidArgument with the nearest known name.
Result<Arguments> parse_arguments(const std::vector<std::string>& words, size_t& next,
                                  const std::vector<OptionSpec>& options, bool stop_at_operand);

[[nodiscard]] const std::vector<OptionSpec>& global_options();
[[nodiscard]] const std::vector<CommandSpec>& commands();
[[nodiscard]] const CommandSpec* find_command(std::string_view name);
[[nodiscard]] std::string general_help();
[[nodiscard]] std::string command_help(const CommandSpec& command);

}  // namespace trivet::oci_cli
