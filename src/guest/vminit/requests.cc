#include "guest/vminit/requests.h"

#include <algorithm>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "guest/protocol.h"
#include "guest/vminit/identity.h"
#include "oci/json_writer.h"

namespace trivet::guest {

namespace {

constexpr const char* kNothing = "{}";

// "Name:   123 kB" of /proc/meminfo, in bytes.
uint64_t meminfo_field(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == std::string_view::npos) return 0;
  std::string_view rest = text.substr(at + name.size());
  rest = trim(rest.substr(0, rest.find('k')));
  return static_cast<uint64_t>(parse_int(rest).value_or(0)) * 1024;
}

// The numbers behind "NAME:" in a line of /proc/net/dev.
std::vector<uint64_t> numbers_of(std::string_view text) {
  std::vector<uint64_t> numbers;
  for (const std::string& word : split(text, ' ')) {
    if (!word.empty()) numbers.push_back(static_cast<uint64_t>(parse_int(word).value_or(0)));
  }
  return numbers;
}

void read_network(Stats& stats) {
  const auto text = read_file("/proc/net/dev", 1U << 20U);
  if (!text) return;
  constexpr size_t kSentColumn = 8;
  for (const std::string& line : split(*text, '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || trim(line.substr(0, colon)) == "lo") continue;
    const auto numbers = numbers_of(std::string_view(line).substr(colon + 1));
    if (numbers.size() <= kSentColumn) continue;
    stats.net_rx += numbers[0];
    stats.net_tx += numbers[kSentColumn];
  }
}

Result<std::string> read_stats(const container::Container& container) {
  const cgroup::Stats used = TRY(container.stats());
  Stats stats{
      .cpu_usage_ns = used.cpu_usage_ns,
      .cpu_user_ns = used.cpu_user_ns,
      .cpu_system_ns = used.cpu_system_ns,
      .memory_usage = used.memory_usage - std::min(used.memory_usage, used.memory_inactive_file),
      .memory_limit = used.memory_limit == UINT64_MAX ? 0 : used.memory_limit,
      .pids = used.pids,
      .pids_limit = used.pids_limit,
      .block_read = used.block_read_bytes,
      .block_write = used.block_write_bytes,
      .oom_kills = used.oom_kills};
  if (const auto text = read_file("/proc/meminfo", 1U << 16U)) {
    stats.memory_total = meminfo_field(*text, "MemTotal:");
    stats.memory_free = meminfo_field(*text, "MemAvailable:");
  }
  read_network(stats);
  return print(stats);
}

struct ProcessRow {
  pid_t pid = 0;
  int64_t ppid = 0;
  int64_t uid = 0;
  int64_t time_ms = 0;
  std::string state;
  std::string command;
};

// What /proc says of one process; nothing when it is gone.
std::optional<ProcessRow> describe_process(pid_t pid) {
  const auto stat = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  const auto status = read_file(fmt::format("/proc/{}/status", pid), 1U << 16U);
  if (!stat || !status) return std::nullopt;
  // "PID (NAME) STATE PPID …": the name may hold anything.
  const size_t open = stat->find('(');
  const size_t close = stat->rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  const std::vector<std::string> fields = split(std::string_view(*stat).substr(close + 2), ' ');
  const size_t uid_line = status->find("\nUid:\t");
  constexpr size_t kUserTime = 11;  // of the fields behind the name
  if (fields.size() <= kUserTime + 1 || uid_line == std::string::npos) return std::nullopt;
  const std::string_view uids = std::string_view(*status).substr(uid_line + 6);
  const int64_t ticks =
      parse_int(fields[kUserTime]).value_or(0) + parse_int(fields[kUserTime + 1]).value_or(0);
  constexpr size_t kMaxCommand = 4096;
  std::string command = read_file(fmt::format("/proc/{}/cmdline", pid), 1U << 22U)
                            .value_or("")
                            .substr(0, kMaxCommand);
  std::ranges::replace(command, '\0', ' ');
  command = trim(command);
  if (command.empty()) command = fmt::format("[{}]", stat->substr(open + 1, close - open - 1));
  return ProcessRow{.pid = pid,
                    .ppid = parse_int(fields[1]).value_or(0),
                    .uid = parse_int(uids.substr(0, uids.find('\t'))).value_or(0),
                    .time_ms = ticks * 1000 / ::sysconf(_SC_CLK_TCK),
                    .state = fields[0],
                    .command = std::move(command)};
}

void print_process(oci::JsonWriter& writer, const ProcessRow& row) {
  writer.member("pid", row.pid);
  writer.member("ppid", row.ppid);
  writer.member("uid", row.uid);
  writer.member("state", row.state);
  writer.member("time_ms", row.time_ms);
  writer.member("command", row.command);
}

// As many as an answer holds; a command of control characters prints as six bytes each.
Result<std::string> list_processes(const container::Container& container) {
  constexpr size_t kLineOverhead = 128;
  std::vector<ProcessRow> rows;
  size_t space = kMaxAnswer;
  for (const pid_t pid : TRY(container.processes())) {
    auto row = describe_process(pid);
    if (!row) continue;
    const size_t needed = kLineOverhead + 6 * row->command.size();
    if (needed > space) break;
    space -= needed;
    rows.push_back(std::move(*row));
  }
  oci::JsonWriter writer;
  writer.begin_object();
  writer.required_objects("processes", rows, print_process);
  writer.end_object();
  return writer.text();
}

Result<std::string> update(container::Container& container, const std::string& resources) {
  TRY(container.update(TRY(oci::parse_resources(resources))));
  return kNothing;
}

Result<std::string> answer_for(const Request& request, container::Container& container) {
  const std::string& operation = request.operation;
  if (operation == "stats") return read_stats(container);
  if (operation == "processes") return list_processes(container);
  if (operation == "update") return update(container, request.resources);
  if (operation == "freeze") {
    TRY(container.pause());
    return kNothing;
  }
  if (operation == "thaw") {
    TRY(container.resume());
    return kNothing;
  }
  return fail(ErrorCode::kUnsupported, "the guest's agent does not know \"{}\"", operation);
}

}  // namespace

Result<std::string> answer_request(const Request& request, container::Container* container) {
  if (request.operation == "ping") return kNothing;
  if (request.operation == "set-time") {
    TRY(set_clock(request.unix_ns));
    return kNothing;
  }
  if (container == nullptr) return fail(ErrorCode::kWrongState, "there is no container yet");
  return answer_for(request, *container);
}

}  // namespace trivet::guest
