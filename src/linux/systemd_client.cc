#include "linux/systemd_client.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/paths.h"
#include "base/process.h"
#include "base/text.h"

namespace trivet::systemd {

namespace {

// The exit codes of trivet-systemd.
constexpr int kNotReached = 3;
constexpr int kExists = 4;

Error as_error(const Output& output) {
  const std::vector<std::string> lines = split(trim(output.stderr_text), '\n');
  ErrorCode code = ErrorCode::kSystem;
  if (output.exit_code == kNotReached) code = ErrorCode::kUnsupported;
  if (output.exit_code == kExists) code = ErrorCode::kAlreadyExists;
  std::string message = lines.front();
  if (message.empty()) {
    message = fmt::format("trivet-systemd ended with exit code {}", output.exit_code);
  } else if (code != ErrorCode::kUnsupported) {
    message = "systemd: " + message;
  }
  Error error(code, std::move(message));
  if (lines.size() > 1) error = std::move(error).hint(lines[1]);
  return error;
}

// The line that it prints.
Result<std::string> ask(Manager manager, std::vector<std::string> words) {
  std::string program = find_companion("trivet-systemd");
  if (program.empty()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "the program trivet-systemd is not installed")
            .hint("the systemd cgroup driver needs it beside trivet-oci or in libexec/trivet; the "
                  "cgroupfs driver does not"));
  }
  words.insert(words.begin(), {std::move(program), manager == Manager::kUser ? "user" : "system"});
  const Output output = TRY(run_program(words));
  if (!output.ok()) return std::unexpected(as_error(output));
  return std::string(trim(output.stdout_text));
}

void append(std::vector<std::string>& words, const std::vector<Property>& properties) {
  for (const Property& property : properties) {
    words.push_back(property.name);
    words.push_back(property.signature);
    words.insert(words.end(), property.words.begin(), property.words.end());
  }
}

}  // namespace

// Root of a user namespace sees the files of a systemd outside of it as somebody else's.
Manager choose_manager() {
  if (geteuid() != 0) return Manager::kUser;
  struct stat status{};
  const bool foreign = stat("/run/systemd/system", &status) == 0 && status.st_uid != 0;
  return foreign ? Manager::kUser : Manager::kSystem;
}

Result<std::string> find_root(Manager manager) {
  return ask(manager, {"root"});
}

Result<std::string> start_scope(Manager manager, const std::string& unit,
                                const std::vector<Property>& properties) {
  std::vector<std::string> words{"start", unit};
  append(words, properties);
  return ask(manager, std::move(words));
}

Result<> set_properties(Manager manager, const std::string& unit,
                        const std::vector<Property>& properties) {
  if (properties.empty()) return {};
  std::vector<std::string> words{"set", unit};
  append(words, properties);
  TRY(ask(manager, std::move(words)));
  return {};
}

Result<> attach_process(Manager manager, const std::string& unit, const std::string& subgroup,
                        pid_t pid) {
  TRY(ask(manager, {"attach", unit, subgroup, fmt::format("{}", pid)}));
  return {};
}

Result<> stop_unit(Manager manager, const std::string& unit) {
  TRY(ask(manager, {"stop", unit}));
  return {};
}

}  // namespace trivet::systemd
