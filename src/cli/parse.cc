#include "cli/parse.h"

#include <algorithm>
#include <optional>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "base/text.h"

namespace trivet::cli {

namespace {

// CLI11 takes the next word as the value of `--name=`. This mark, which nobody types, keeps the
// value there; it is taken off again from everything that comes out.
constexpr std::string_view kEmptyMark = "\x01trivet-empty\x01";

std::vector<std::string> with_marks(const std::vector<std::string>& words) {
  std::vector<std::string> marked = words;
  for (std::string& word : marked) {
    if (word.starts_with("--") && word.size() > 3 && word.find('=') == word.size() - 1) {
      word += kEmptyMark;
    }
  }
  return marked;
}

std::string without_mark(std::string word) {
  if (word.ends_with(kEmptyMark)) word.resize(word.size() - kEmptyMark.size());
  return word;
}

std::string display_name(const Command& command) {
  return command.path.empty() ? "trivet" : fmt::format("trivet {}", command.path);
}

std::unexpected<Error> usage_error(const Command& command, std::string message,
                                   const std::string& advice = {}) {
  const std::string see = fmt::format("see `{} --help`", display_name(command));
  return std::unexpected(Error(ErrorCode::kInvalidArgument, std::move(message))
                             .hint(advice.empty() ? see : fmt::format("{}; {}", advice, see)));
}

std::unexpected<Error> unknown_option(const Command& command,
                                      const std::vector<OptionSpec>& globals,
                                      const std::string& word) {
  const std::string typed = word.substr(0, word.find('='));
  std::vector<std::string> known{"--help"};
  for (const auto* options : {&command.options, &globals}) {
    for (const OptionSpec& option : *options) {
      if (!option.hidden) std::ranges::copy(option.all_names(), std::back_inserter(known));
    }
  }
  const std::string nearest = typed.starts_with("--") ? nearest_name(typed, known) : "";
  return usage_error(command,
                     fmt::format("unknown option {} of `{}`", typed, display_name(command)),
                     nearest.empty() ? "" : fmt::format("did you mean {}?", nearest));
}

bool takes_short_h(const Command& command) {
  return std::ranges::any_of(
      command.options, [](const OptionSpec& option) { return option.names.starts_with("-h,"); });
}

// True when `word` may be this option: `--name`, `--name=…`, or a cluster with its letter.
bool may_be(const OptionSpec& option, std::string_view word) {
  return std::ranges::any_of(option.all_names(), [&](const std::string& name) {
    if (name.starts_with("--")) {
      return word.starts_with(name) && (word.size() == name.size() || word[name.size()] == '=');
    }
    return word[1] != '-' && word.find(name[1]) != std::string_view::npos;
  });
}

// Making a CLI11 option costs microseconds and `run` has ninety, so only those that are mentioned
// are made. What is mentioned and isn't made is unknown either way.
std::vector<const OptionSpec*> mentioned(const std::vector<OptionSpec>& options,
                                         const std::vector<std::string>& words) {
  std::vector<const OptionSpec*> found;
  for (const OptionSpec& option : options) {
    const bool named = std::ranges::any_of(words, [&](const std::string& word) {
      return word.size() > 1 && word[0] == '-' && may_be(option, word);
    });
    if (named) found.push_back(&option);
  }
  return found;
}

// One CLI11 App for one parse. Values go through the `store` functions; the first that fails wins.
class Parser {
 public:
  Parser(const Command& command, const std::vector<OptionSpec>& globals,
         const std::vector<std::string>& words)
      : command_(command), globals_(globals) {
    app_.set_help_flag();
    app_.add_flag(takes_short_h(command) ? "--help" : "-h,--help", help_);
    app_.prefix_command(command.stops_at_first_argument);
    app_.allow_extras();
    for (const OptionSpec* option : mentioned(command.options, words)) add(*option);
    for (const OptionSpec* option : mentioned(globals, words)) add(*option);
  }

  Result<Parsed> parse(const std::vector<std::string>& words) {
    std::vector<std::string> reversed = with_marks(words);
    std::ranges::reverse(reversed);
    try {
      app_.parse(std::move(reversed));
    } catch (const CLI::ParseError& error) {
      if (help_) return Parsed{.help = true, .arguments = {}};
      return usage_error(command_, describe(error));
    }
    if (help_) return Parsed{.help = true, .arguments = {}};
    Parsed parsed;
    parsed.arguments = TRY(arguments());
    // After unknown options: `--bogus 1` names the option, not its value.
    if (failure_) return std::unexpected(*std::move(failure_));
    TRY(check_count(parsed.arguments));
    return parsed;
  }

 private:
  void add(const OptionSpec& option) {
    if (option.flag != nullptr) {
      app_.add_flag(option.names, *option.flag)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
      return;
    }
    app_.add_option(option.names, CLI::callback_t([this, &option](const CLI::results_t& values) {
                      store(option, values);
                      return true;
                    }))
        ->type_size(1)
        ->expected(1)
        ->allow_extra_args(false)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  void store(const OptionSpec& option, const CLI::results_t& values) {
    for (const std::string& value : values) {
      const std::string text = without_mark(value);
      auto stored = option.store(text);
      if (stored || failure_) continue;
      failure_ = std::move(stored.error())
                     .in(fmt::format("option {}", option.long_name()))
                     .with_code(ErrorCode::kInvalidArgument);
    }
  }

  // What CLI11 did not take: arguments, unknown options, and "--" where options ended.
  Result<std::vector<std::string>> arguments() const {
    std::vector<std::string> found;
    bool options_ended = false;
    for (const std::string& raw : app_.remaining()) {
      const std::string word = without_mark(raw);
      if (!options_ended && word == "--") {
        options_ended = true;
        continue;
      }
      if (!options_ended && word.size() > 1 && word.front() == '-') {
        return unknown_option(command_, globals_, word);
      }
      found.push_back(word);
      if (command_.stops_at_first_argument) options_ended = true;
    }
    return found;
  }

  Result<> check_count(const std::vector<std::string>& arguments) const {
    const std::string usage = command_.usages.empty() ? "" : command_.usages.front();
    if (arguments.size() < command_.min_arguments) {
      return usage_error(command_, arguments.empty()
                                       ? fmt::format("`{}` needs {}", display_name(command_),
                                                     usage.empty() ? "an argument" : usage)
                                       : fmt::format("`{}` needs more arguments: {}",
                                                     display_name(command_), usage));
    }
    if (arguments.size() > command_.max_arguments) {
      return usage_error(command_,
                         fmt::format("unexpected argument \"{}\" of `{}`",
                                     arguments[command_.max_arguments], display_name(command_)));
    }
    return {};
  }

  static std::string describe(const CLI::ParseError& error) {
    std::string what = error.what();
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
      return fmt::format("option {} needs a value", what.substr(0, what.find(':')));
    }
    return what;
  }

  const Command& command_;
  const std::vector<OptionSpec>& globals_;
  CLI::App app_;
  bool help_ = false;
  std::optional<Error> failure_;
};

}  // namespace

Result<Parsed> parse_words(const Command& command, const std::vector<OptionSpec>& globals,
                           const std::vector<std::string>& words) {
  return Parser(command, globals, words).parse(words);
}

}  // namespace trivet::cli
