// The processes of a container, with the host's pids.
#include <algorithm>
#include <unistd.h>

#include "base/fs.h"
#include "runtime/machine.h"
#include "runtime/observe.h"

namespace trivet::runtime {

namespace {

using Rows = std::vector<std::vector<std::string>>;

std::vector<std::string> words_of(std::string_view line, size_t limit) {
  std::vector<std::string> words;
  for (;;) {
    const size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    const bool last = words.size() + 1 == limit;
    const size_t end = last ? line.size() : std::min(line.find_first_of(" \t"), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

// What /proc says of one process; nothing when it is gone.
std::optional<std::vector<std::string>> describe_process(pid_t pid) {
  const auto stat = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  const auto status = read_file(fmt::format("/proc/{}/status", pid), 1U << 16U);
  if (!stat || !status) return std::nullopt;
  // "PID (NAME) STATE PPID …": the name may hold anything.
  const size_t open = stat->find('(');
  const size_t close = stat->rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  const auto fields = words_of(std::string_view(*stat).substr(close + 1), 60);
  if (fields.size() < 20) return std::nullopt;
  const size_t uid_line = status->find("\nUid:");
  if (uid_line == std::string::npos) return std::nullopt;
  const auto uids = words_of(std::string_view(*status).substr(uid_line + 5, 32), 5);
  const auto ticks = parse_int(fields[11]).value_or(0) + parse_int(fields[12]).value_or(0);
  const int64_t seconds = ticks / sysconf(_SC_CLK_TCK);
  std::string command = read_file(fmt::format("/proc/{}/cmdline", pid), 1U << 20U).value_or("");
  std::ranges::replace(command, '\0', ' ');
  command = trim(command);
  if (command.empty()) command = fmt::format("[{}]", stat->substr(open + 1, close - open - 1));
  return std::vector<std::string>{
      uids.empty() ? "?" : std::string(trim(uids.front())),
      std::to_string(pid),
      fields[1],
      fields[0],
      fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
      command};
}

Result<Rows> run_ps(const std::vector<std::string>& ps_options, const std::vector<pid_t>& pids) {
  std::vector<std::string> argv = {"ps"};
  argv.insert(argv.end(), ps_options.begin(), ps_options.end());
  const Output output = TRY_IN(run_program(argv), "top");
  if (!output.ok()) {
    return fail(ErrorCode::kInvalidArgument, "ps: {}", trim(output.stderr_text));
  }
  return parse_ps(output.stdout_text, pids);
}

}  // namespace

Result<Rows> parse_ps(std::string_view output, const std::vector<pid_t>& pids) {
  const std::vector<std::string> lines = split(output, '\n');
  const std::vector<std::string> header = words_of(lines.front(), 1000);
  const auto column = std::ranges::find(header, "PID");
  if (column == header.end()) {
    return fail(ErrorCode::kInvalidArgument,
                "ps printed no PID column: the processes of the "
                "container can't be told from others");
  }
  const auto index = static_cast<size_t>(column - header.begin());
  Rows rows = {header};
  for (size_t i = 1; i < lines.size(); ++i) {
    std::vector<std::string> row = words_of(lines[i], header.size());
    if (row.size() <= index) continue;
    const auto pid = parse_int(row[index]);
    if (pid && std::ranges::find(pids, *pid) != pids.end()) rows.push_back(std::move(row));
  }
  return rows;
}

Result<Rows> container_top(const Home& home, const Observed& observed,
                           const std::vector<std::string>& ps_options) {
  TRY(require_running(observed));
  if (monitor::is_machine(observed.record)) {
    if (ps_options.empty()) return machine_top(observed);
    return fail(ErrorCode::kUnsupported,
                "top with options of ps: the processes of a microVM are not the host's");
  }
  const container::Container engine = TRY(load_engine(home, observed));
  const std::vector<pid_t> pids = TRY(engine.processes());
  if (!ps_options.empty()) return run_ps(ps_options, pids);
  Rows rows = {{"UID", "PID", "PPID", "STATE", "TIME", "COMMAND"}};
  for (const pid_t pid : pids) {
    if (auto row = describe_process(pid)) rows.push_back(std::move(*row));
  }
  return rows;
}

}  // namespace trivet::runtime
