#include "cli/command.h"

#include "base/text.h"

namespace trivet::cli {

std::vector<std::string> OptionSpec::all_names() const {
  return split(names, ',');
}

std::string OptionSpec::long_name() const {
  const std::vector<std::string> all = all_names();
  for (const std::string& name : all) {
    if (name.starts_with("--")) return name;
  }
  return all.front();
}

OptionSpec& OptionSpec::defaults_to(std::string text) {
  initial = std::move(text);
  return *this;
}

OptionSpec& OptionSpec::one_of(std::vector<std::string> values) {
  choices = std::move(values);
  return *this;
}

OptionSpec& OptionSpec::completed_by(Completes kind) {
  completes = kind;
  return *this;
}

OptionSpec& OptionSpec::hide() {
  hidden = true;
  return *this;
}

Command& Command::section(std::string heading) {
  section_ = std::move(heading);
  return *this;
}

Command& Command::takes(std::string usage, size_t min, size_t max, Completes kind) {
  usages = {std::move(usage)};
  min_arguments = min;
  max_arguments = max;
  completes = {kind};
  return *this;
}

Command& Command::example(std::string command, std::string what) {
  examples.push_back({std::move(command), std::move(what)});
  return *this;
}

OptionSpec& Command::add(OptionSpec option) {
  option.group = section_;
  options.push_back(std::move(option));
  return options.back();
}

OptionSpec& Command::flag(std::string names, bool& target, std::string help) {
  OptionSpec option;
  option.names = std::move(names);
  option.help = std::move(help);
  option.flag = &target;
  return add(std::move(option));
}

OptionSpec& Command::value(std::string names, std::string placeholder, std::string& target,
                           std::string help) {
  return parsed(
      std::move(names), std::move(placeholder),
      [&target](const std::string& text) -> Result<> {
        target = text;
        return {};
      },
      std::move(help));
}

OptionSpec& Command::list(std::string names, std::string placeholder,
                          std::vector<std::string>& target, std::string help) {
  OptionSpec& option = parsed(
      std::move(names), std::move(placeholder),
      [&target](const std::string& text) -> Result<> {
        target.push_back(text);
        return {};
      },
      std::move(help));
  option.repeatable = true;
  return option;
}

OptionSpec& Command::parsed(std::string names, std::string placeholder,
                            std::function<Result<>(const std::string&)> store, std::string help) {
  OptionSpec option;
  option.names = std::move(names);
  option.placeholder = std::move(placeholder);
  option.help = std::move(help);
  option.store = std::move(store);
  return add(std::move(option));
}

}  // namespace trivet::cli
