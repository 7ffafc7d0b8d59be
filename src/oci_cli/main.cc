// trivet-oci: the OCI runtime.
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/text.h"
#include "oci_cli/commands.h"

namespace trivet::oci_cli {

namespace {

using Handler = Result<int> (*)(const Globals&, const Arguments&);

constexpr int kExecFailure = 255;  // runc's exit code for an exec that the runtime could not do

Handler find_handler(std::string_view name) {
  struct Entry {
    std::string_view name;
    Handler handler;
  };
  static constexpr Entry kHandlers[] = {
      {"create", command_create},
      {"start", command_start},
      {"run", command_run},
      {"state", command_state},
      {"kill", command_kill},
      {"delete", command_delete},
      {"exec", command_exec},
      {"list", command_list},
      {"ps", command_ps},
      {"pause", command_pause},
      {"resume", command_resume},
      {"update", command_update},
      {"events", command_events},
      {"spec", command_spec},
      {"features", command_features},
      {"checkpoint", command_checkpoint},
      {"restore", command_restore},
  };
  for (const Entry& entry : kHandlers) {
    if (entry.name == name) return entry.handler;
  }
  return nullptr;
}

// As asked for; else all but a JSON log, see LogTarget.
Result<bool> takes_warnings(const Arguments& arguments, bool json) {
  if (arguments.has("debug")) return true;
  if (!arguments.has("log-level")) return !json;
  const std::string level = arguments.get("log-level");
  for (const char* known : {"trace", "debug", "info", "warning", "warn"}) {
    if (level == known) return true;
  }
  for (const char* known : {"error", "fatal", "panic"}) {
    if (level == known) return false;
  }
  return fail(ErrorCode::kInvalidArgument,
              "--log-level: \"{}\" is none of debug, info, warning and error", level);
}

Result<Globals> read_globals(const Arguments& arguments) {
  Globals globals;
  globals.root = arguments.get("root", default_state_dir() + "/oci-cli");
  globals.log.path = arguments.get("log");
  if (globals.log.path.starts_with("file:")) globals.log.path.erase(0, 5);
  const std::string format = arguments.get("log-format", "text");
  if (format != "text" && format != "json") {
    return fail(ErrorCode::kInvalidArgument, "--log-format: \"{}\" is neither text nor json",
                format);
  }
  globals.log.json = format == "json";
  globals.log.warnings = TRY(takes_warnings(arguments, globals.log.json));
  const std::string manager =
      arguments.get("cgroup-manager", arguments.has("systemd-cgroup") ? "systemd" : "cgroupfs");
  globals.cgroup_driver = TRY_IN(cgroup::parse_driver(manager), "--cgroup-manager");
  return globals;
}

Result<> print(const std::string& text) {
  return write_all(STDOUT_FILENO, text, "stdout");
}

std::string version_text() {
  return "trivet-oci version " TRIVET_VERSION "\nspec: " + std::string(oci::kSpecVersion) + "\n";
}

int fail_with(const LogTarget& log, const Error& error, int exit_code) {
  report_error(log, error);
  return exit_code;
}

int run_command(const Globals& globals, const CommandSpec& command,
                const std::vector<std::string>& words, size_t next) {
  // Operands of exec and ps are somebody else's command line.
  const bool foreign =
      command.name == std::string_view("exec") || command.name == std::string_view("ps");
  auto arguments = parse_arguments(words, next, command.options, foreign);
  if (!arguments) return fail_with(globals.log, arguments.error(), 1);
  for (; next < words.size(); ++next) arguments->add_operand(words[next]);
  if (arguments->has("help")) return print(command_help(command)) ? 0 : 1;
  if (arguments->operands().size() < command.min_operands ||
      arguments->operands().size() > command.max_operands) {
    return fail_with(
        globals.log,
        Error(ErrorCode::kInvalidArgument,
              fmt::format("usage: trivet-oci {} [OPTIONS] {}", command.name, command.operands)),
        1);
  }
  const auto exit_code = find_handler(command.name)(globals, *arguments);
  if (exit_code) return *exit_code;
  return fail_with(globals.log, exit_code.error(),
                   command.name == std::string_view("exec") ? kExecFailure : 1);
}

int run(const std::string& program_name, const std::vector<std::string>& words) {
  size_t next = 0;
  const auto arguments = parse_arguments(words, next, global_options(), true);
  if (!arguments) return fail_with({}, arguments.error(), 1);
  if (arguments->has("version")) return print(version_text()) ? 0 : 1;
  if (arguments->has("help") || next == words.size() || words[next] == "help") {
    return print(general_help()) ? 0 : 1;
  }
  auto globals = read_globals(*arguments);
  if (!globals) return fail_with({}, globals.error(), 1);
  globals->program_name = program_name;
  const CommandSpec* command = find_command(words[next]);
  if (command == nullptr) {
    std::vector<std::string> names;
    for (const CommandSpec& known : commands()) names.emplace_back(known.name);
    const std::string nearest = nearest_name(words[next], names);
    return fail_with(
        globals->log,
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown command \"{}\"", words[next]))
            .hint(nearest.empty() ? "see --help" : fmt::format("did you mean {}?", nearest)),
        1);
  }
  return run_command(*globals, *command, words, next + 1);
}

}  // namespace

}  // namespace trivet::oci_cli

int main(int argc, char** argv) {
  const std::string_view path = argc > 0 ? argv[0] : "";
  const std::string name(path.substr(path.find_last_of('/') + 1));
  return trivet::oci_cli::run(name,
                              std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}
