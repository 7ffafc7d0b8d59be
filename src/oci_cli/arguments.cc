#include "oci_cli/arguments.h"

#include <algorithm>

#include "base/text.h"

namespace trivet::oci_cli {

namespace {

const OptionSpec* find_long(const std::vector<OptionSpec>& options, std::string_view name) {
  for (const OptionSpec& option : options) {
    if (name == option.name) return &option;
  }
  return nullptr;
}

const OptionSpec* find_letter(const std::vector<OptionSpec>& options, char letter) {
  for (const OptionSpec& option : options) {
    if (option.letter != 0 && option.letter == letter) return &option;
  }
  return nullptr;
}

Error unknown_option(const std::string& word, std::string_view name,
                     const std::vector<OptionSpec>& options) {
  std::vector<std::string> names;
  for (const OptionSpec& option : options) names.emplace_back(option.name);
  Error error(ErrorCode::kInvalidArgument, fmt::format("unknown option \"{}\"", word));
  const std::string nearest = nearest_name(name, names);
  return std::move(error).hint(nearest.empty() ? "see --help"
                                               : fmt::format("did you mean --{}?", nearest));
}

bool is_true(std::string_view text) {
  return text == "true" || text == "1";
}

// One option word with its value, which may be the next word.
Result<> parse_option(const std::vector<std::string>& words, size_t& next,
                      const std::vector<OptionSpec>& options, Arguments& arguments) {
  const std::string& word = words[next++];
  std::string_view name = word;
  name.remove_prefix(name.starts_with("--") ? 2 : 1);
  const size_t equals = name.find('=');
  const bool has_value = equals != std::string_view::npos;
  std::string value = has_value ? std::string(name.substr(equals + 1)) : "";
  name = name.substr(0, equals);
  const OptionSpec* option = find_long(options, name);
  if (option == nullptr && !word.starts_with("--") && name.size() == 1) {
    option = find_letter(options, name[0]);
  }
  if (option == nullptr) return std::unexpected(unknown_option(word, name, options));
  if (option->value == nullptr) {
    if (!has_value || is_true(value)) arguments.add(option->name, "true");
    return {};
  }
  if (!has_value) {
    if (next >= words.size()) {
      return fail(ErrorCode::kInvalidArgument, "option \"{}\" needs a value", word);
    }
    value = words[next++];
  }
  arguments.add(option->name, std::move(value));
  return {};
}

std::string option_lines(const std::vector<OptionSpec>& options) {
  std::string text;
  for (const OptionSpec& option : options) {
    std::string left = option.letter != 0 ? fmt::format("-{}, ", option.letter) : "    ";
    left += fmt::format("--{}", option.name);
    if (option.value != nullptr) left += fmt::format(" {}", option.value);
    text += fmt::format("  {:<34} {}\n", left, option.help);
  }
  return text;
}

}  // namespace

std::string Arguments::get(const std::string& name, const std::string& fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? fallback : found->second.back();
}

std::vector<std::string> Arguments::all(const std::string& name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

Result<Arguments> parse_arguments(const std::vector<std::string>& words, size_t& next,
                                  const std::vector<OptionSpec>& options, bool stop_at_operand) {
  Arguments arguments;
  bool only_operands = false;
  while (next < words.size()) {
    const std::string& word = words[next];
    if (only_operands || word.size() < 2 || word[0] != '-') {
      if (stop_at_operand) break;
      arguments.add_operand(words[next++]);
    } else if (word == "--") {
      only_operands = true;
      ++next;
      if (stop_at_operand) break;
    } else {
      TRY(parse_option(words, next, options, arguments));
    }
  }
  return arguments;
}

const CommandSpec* find_command(std::string_view name) {
  for (const CommandSpec& command : commands()) {
    if (name == command.name) return &command;
  }
  return nullptr;
}

std::string general_help() {
  std::string text =
      "trivet-oci runs containers from OCI bundles.\n\n"
      "Usage: trivet-oci [GLOBAL OPTIONS] COMMAND [OPTIONS] [OPERANDS]\n\nCommands:\n";
  for (const CommandSpec& command : commands()) {
    text += fmt::format("  {:<12} {}\n", command.name, command.help);
  }
  text += "\nGlobal options:\n" + option_lines(global_options());
  return text + "\n\"trivet-oci COMMAND --help\" tells more about a command.\n";
}

std::string command_help(const CommandSpec& command) {
  return fmt::format("{}\n\nUsage: trivet-oci {} [OPTIONS] {}\n\nOptions:\n{}", command.help,
                     command.name, command.operands, option_lines(command.options));
}

}  // namespace trivet::oci_cli
