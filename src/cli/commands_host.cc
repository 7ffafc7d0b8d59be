// info, version, completion, help, and the hidden commands that make documents from the others.
#include <memory>
#include <sys/utsname.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/format.h"
#include "cli/help.h"
#include "cli/manual.h"
#include "cli/outline.h"
#include "cli/registry.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

Result<int> info(Session& session, const std::string& format) {
  Engine* engine = TRY(session.engine());
  return print_document(session, TRY(engine->info()), format);
}

Result<int> version(Session& session, const std::string& format) {
  utsname host{};
  uname(&host);
  const Object object{{"Version", TRIVET_VERSION}, {"Os", "linux"}, {"Arch", host.machine}};
  if (format == "json") {
    session.print(dump_pretty(object));
  } else if (!format.empty() && format != "text") {
    session.print(TRY(render_template(format, object)) + '\n');
  } else {
    session.print(fmt::format("trivet {}\n", TRIVET_VERSION));
  }
  return 0;
}

Result<int> help(Session& session, const Names& words) {
  if (words.empty()) {
    session.print(overview_help());
    return 0;
  }
  const std::string path = join(words, " ");
  if (const Entry* entry = find_entry(path); entry != nullptr) {
    session.print(command_help(make_command(*entry)));
  } else if (is_group(path)) {
    session.print(group_help(path));
  } else {
    Error error(ErrorCode::kInvalidArgument, fmt::format("unknown command \"{}\"", path));
    const std::string advice = advice_for_unknown("", path);
    return std::unexpected(advice.empty() ? std::move(error) : std::move(error).hint(advice));
  }
  return 0;
}

// Names for a shell: a failure is no reason to print anything on the line being typed.
Result<Names> known_names(Session& session, const std::string& what) {
  Engine* engine = TRY(session.engine());
  Names names;
  if (what == "containers") {
    for (const auto& info : TRY(engine->list(true))) names.push_back(info.name);
  } else if (what == "images") {
    for (const auto& info : TRY(engine->images())) {
      for (const std::string& name : info.names) names.push_back(familiar_name(name));
    }
  } else if (what == "volumes") {
    for (const auto& info : TRY(engine->volumes())) names.push_back(info.name);
  } else if (what == "pods") {
    for (const auto& info : TRY(engine->list_pods())) names.push_back(info.name);
  }
  return names;
}

void declare_text_format(Command& command, std::string& format) {
  add_format_option(command, format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text, JSON, or a template such as '{{.Version}}'";
}

}  // namespace

Command make_info() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.usages = {""};
  declare_text_format(command, *format);
  command.example("trivet info --format json", "For programs");
  command.action = [format](Session& session, const Names&) { return info(session, *format); };
  return command;
}

Command make_version() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.usages = {""};
  declare_text_format(command, *format);
  command.example("trivet version --format '{{.Version}}'", "The number alone");
  command.action = [format](Session& session, const Names&) { return version(session, *format); };
  return command;
}

Command make_completion() {
  Command command;
  command.takes("bash|zsh|fish", 1, 1, Completes::kNothing);
  command.description =
      "The script makes the shell complete commands, options and the names of containers, pods, "
      "images and volumes.";
  command.example("source <(trivet completion bash)", "In this bash")
      .example("trivet completion zsh > /usr/share/zsh/vendor-completions/_trivet", "In every zsh")
      .example("trivet completion fish > ~/.config/fish/completions/trivet.fish", "In every fish");
  command.action = [](Session& session, const Names& names) -> Result<int> {
    session.print(TRY(completion_script(names.front())));
    return 0;
  };
  return command;
}

Command make_help() {
  Command command;
  command.takes("[COMMAND...]", 0, 2, Completes::kCommand);
  command.usage_code = 2;
  command.failure_code = 2;
  command.example("trivet help run", "The same as `trivet run --help`");
  command.action = help;
  return command;
}

Command make_man() {
  Command command;
  command.takes("DIR", 1, 1, Completes::kDirectory);
  command.action = [](Session&, const Names& arguments) -> Result<int> {
    TRY(make_dirs(arguments.front()));
    for (const auto& [name, text] : man_pages()) {
      TRY(replace_file(AT_FDCWD, arguments.front() + "/" + name, text));
    }
    return 0;
  };
  return command;
}

Command make_markdown() {
  Command command;
  command.usages = {""};
  command.action = [](Session& session, const Names&) -> Result<int> {
    session.print(markdown_reference());
    return 0;
  };
  return command;
}

Command make_complete() {
  Command command;
  command.takes("containers|images|volumes|pods", 1, 1, Completes::kNothing);
  command.action = [](Session& session, const Names& arguments) -> Result<int> {
    const auto names = known_names(session, arguments.front());
    if (!names) return 1;
    for (const std::string& name : *names) session.print(name + '\n');
    return 0;
  };
  return command;
}

}  // namespace trivet::cli
