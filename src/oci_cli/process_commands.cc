// exec and ps.
#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/text.h"
#include "container/container.h"
#include "linux/capabilities.h"
#include "oci_cli/bundle.h"
#include "oci_cli/commands.h"
#include "payload/prepare.h"

namespace trivet::oci_cli {

namespace {

using container::Container;
using container::ExecOptions;

Result<uint32_t> parse_id(const std::string& text, std::string_view option) {
  const int64_t value = TRY_IN(parse_int(text), "{}", option);
  if (value < 0 || value > UINT32_MAX) {
    return fail(ErrorCode::kInvalidArgument, "{}: {} is out of range", option, value);
  }
  return static_cast<uint32_t>(value);
}

Result<> apply_user(const std::string& text, oci::User& user) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() > 2)
    return fail(ErrorCode::kInvalidArgument, "--user: \"{}\" is not UID[:GID]", text);
  user.uid = TRY(parse_id(parts[0], "--user"));
  if (parts.size() == 2) user.gid = TRY(parse_id(parts[1], "--user"));
  return {};
}

Result<> add_capability(const std::string& name, oci::Process& process) {
  const std::string full = caps::capability_name(TRY(caps::parse_capability(name)));
  if (!process.capabilities) process.capabilities.emplace();
  oci::Capabilities& sets = *process.capabilities;
  for (auto* set : {&sets.bounding, &sets.effective, &sets.permitted}) {
    if (std::ranges::find(*set, full) == set->end()) set->push_back(full);
  }
  return {};
}

// The container's own process with the options on top, as runc does.
Result<oci::Process> process_from_options(const oci::Spec& spec, const Arguments& arguments) {
  oci::Process process = spec.process.value_or(oci::Process{.cwd = "/"});
  process.args.assign(arguments.operands().begin() + 1, arguments.operands().end());
  if (process.args.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "exec: no command given; name one, or use --process FILE");
  }
  process.terminal = arguments.has("tty");
  if (arguments.has("cwd")) process.cwd = arguments.get("cwd");
  for (const std::string& entry : arguments.all("env")) process.env.push_back(entry);
  if (arguments.has("user")) TRY(apply_user(arguments.get("user"), process.user));
  for (const std::string& gid : arguments.all("additional-gids")) {
    process.user.additional_gids.push_back(TRY(parse_id(gid, "--additional-gids")));
  }
  for (const std::string& name : arguments.all("cap")) TRY(add_capability(name, process));
  if (arguments.has("no-new-privs")) process.no_new_privileges = true;
  if (arguments.has("apparmor")) process.apparmor_profile = arguments.get("apparmor");
  if (arguments.has("process-label")) process.selinux_label = arguments.get("process-label");
  return process;
}

Result<oci::Process> exec_process(const Container& container, const Arguments& arguments) {
  if (arguments.has("process")) {
    const std::string text = TRY(read_file(arguments.get("process")));
    return TRY_IN(oci::parse_process(text), "\"{}\"", arguments.get("process"));
  }
  const oci::Spec spec = TRY(container.load_spec());
  return process_from_options(spec, arguments);
}

std::string print_pids(const std::vector<pid_t>& pids) {
  return Json(pids).dump() + "\n";
}

// ps(1) over all processes, of which the container's are kept, as runc does.
Result<std::string> ps_table(const std::vector<pid_t>& pids, std::vector<std::string> options) {
  if (options.empty()) options = {"-ef"};
  options.insert(options.begin(), "ps");
  const Output output = TRY(run_program(options));
  if (!output.ok()) return fail(ErrorCode::kInvalidArgument, "ps: {}", trim(output.stderr_text));
  const std::vector<std::string> lines = split(output.stdout_text, '\n');
  const auto words = [](const std::string& line) {
    std::vector<std::string> result = split(line, ' ');
    std::erase(result, "");
    return result;
  };
  const std::vector<std::string> header = words(lines[0]);
  const auto column = static_cast<size_t>(std::ranges::find(header, "PID") - header.begin());
  if (column == header.size()) return fail(ErrorCode::kInvalidArgument, "ps prints no PID column");
  std::string text = lines[0] + "\n";
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string> row = words(lines[i]);
    if (column >= row.size()) continue;
    const auto pid = parse_int(row[column]);
    if (pid && std::ranges::find(pids, static_cast<pid_t>(*pid)) != pids.end())
      text += lines[i] + "\n";
  }
  return text;
}

}  // namespace

Result<int> command_exec(const Globals& globals, const Arguments& arguments) {
  const Container container = TRY(Container::load(globals.root, arguments.operands()[0]));
  ExecOptions options;
  options.process = TRY(exec_process(container, arguments));
  if (arguments.has("tty")) options.process.terminal = true;
  const auto payload = TRY(payload::prepare_exec(container, options.process, wasm_cache_directory(),
                                                 arguments.get("invoke")));
  if (payload) {
    options.process = payload->process;
    options.program = &payload->program;
  }
  TRY(read_process_options(arguments, options));
  options.cgroup = arguments.get("cgroup");
  const bool detach = arguments.has("detach");
  if (detach && options.process.terminal && options.console_socket.empty()) {
    return fail(ErrorCode::kInvalidArgument, "exec: a detached terminal needs --console-socket");
  }
  if (!detach) TRY(block_forwarded_signals());
  const container::Started started =
      TRY_IN(container.exec(options), "exec in container \"{}\"", container.id());
  if (detach) return 0;
  return wait_in_foreground(started.pidfd.get(), started.console.get());
}

Result<int> command_ps(const Globals& globals, const Arguments& arguments) {
  const Container container = TRY(Container::load(globals.root, arguments.operands()[0]));
  const std::vector<pid_t> pids = TRY(container.processes());
  const std::string format = arguments.get("format", "table");
  if (format != "table" && format != "json") {
    return fail(ErrorCode::kInvalidArgument, "--format: \"{}\" is neither table nor json", format);
  }
  const std::vector<std::string> options(arguments.operands().begin() + 1,
                                         arguments.operands().end());
  const std::string text = format == "json" ? print_pids(pids) : TRY(ps_table(pids, options));
  TRY(write_all(STDOUT_FILENO, text, "stdout"));
  return 0;
}

}  // namespace trivet::oci_cli
