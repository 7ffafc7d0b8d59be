#include "linux/cgroup_files.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <thread>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "linux/cgroup.h"

namespace trivet::cgroup {

namespace {

// cgroupfs keeps trusted.* attributes for root everywhere, user.* for others on v2 (kernel 5.7).
constexpr std::array kMarks = {"trusted.trivet", "user.trivet"};
constexpr int kRaceRetries = 256;

void mark(const std::string& directory) {
  for (const char* name : kMarks) {
    if (setxattr(directory.c_str(), name, "1", 1, 0) == 0) return;
  }
  // Unmarked, an empty parent stays behind: untidy, never wrong.
}

bool is_marked(const std::string& directory) {
  return std::ranges::any_of(
      kMarks, [&](const char* name) { return getxattr(directory.c_str(), name, nullptr, 0) >= 0; });
}

// The parents of `directory` below the mount point, made and marked when missing.
Result<> make_parents(const std::string& mount_point, const std::string& directory) {
  for (size_t slash = directory.find('/', mount_point.size() + 1); slash != std::string::npos;
       slash = directory.find('/', slash + 1)) {
    const std::string parent = directory.substr(0, slash);
    if (mkdir(parent.c_str(), 0755) == 0) {
      mark(parent);
    } else if (errno == ENOENT) {
      return {};  // one above was taken away just now: the caller starts over
    } else if (errno != EEXIST) {
      return fail_errno("mkdir \"{}\"", parent);
    }
  }
  return {};
}

Result<std::vector<std::string>> subgroups(const std::string& directory) {
  std::vector<std::string> groups;
  const auto names = list_dir(AT_FDCWD, directory);
  if (!names) {
    if (names.error().errnum() == ENOENT) return groups;
    return std::unexpected(names.error());
  }
  for (const std::string& name : *names) {
    struct stat status{};
    const std::string path = directory + "/" + name;
    if (lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) groups.push_back(path);
  }
  return groups;
}

}  // namespace

bool has_controller(const Hierarchy& hierarchy, std::string_view controller) {
  return std::ranges::find(hierarchy.controllers, controller) != hierarchy.controllers.end();
}

std::string parent_of(const std::string& directory) {
  return directory.substr(0, directory.find_last_of('/'));
}

Result<> write_control(const std::string& directory, const std::string& file,
                       std::string_view value) {
  return write_existing(AT_FDCWD, directory + "/" + file, value);
}

Result<std::string> read_control(const std::string& directory, const std::string& file) {
  return read_file(directory + "/" + file);
}

Result<uint64_t> read_number(const std::string& directory, const std::string& file) {
  const std::string text = TRY(read_control(directory, file));
  const std::string_view word = trim(text);
  if (word == "max") return UINT64_MAX;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size()) {
    return fail(ErrorCode::kCorrupt, "{}/{}: not a number: \"{}\"", directory, file, word);
  }
  // v1's "no limit" is the largest multiple of the page size in an int64.
  return value >= static_cast<uint64_t>(INT64_MAX) / 4096 * 4096 ? UINT64_MAX : value;
}

std::optional<uint64_t> find_value(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
      uint64_t value = 0;
      const std::string_view digits = line.substr(key.size() + 1);
      std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return value;
    }
    text = newline == std::string_view::npos ? std::string_view{} : text.substr(newline + 1);
  }
  return std::nullopt;
}

Result<bool> make_directory(const std::string& mount_point, const std::string& directory) {
  for (int attempt = 0; attempt < kRaceRetries; ++attempt) {
    if (mkdir(directory.c_str(), 0755) == 0) return true;
    if (errno == EEXIST) return false;
    if (errno != ENOENT) return fail_errno("mkdir \"{}\"", directory);
    TRY(make_parents(mount_point, directory));
  }
  errno = ENOENT;
  return fail_errno("mkdir \"{}\"", directory);
}

Result<> enable_controller(const std::string& mount_point, const std::string& directory,
                           const std::string& controller) {
  for (size_t slash = mount_point.size(); slash != std::string::npos;
       slash = directory.find('/', slash + 1)) {
    const std::string parent = directory.substr(0, slash);
    const std::string text = TRY(read_control(parent, "cgroup.subtree_control"));
    const std::vector<std::string> enabled = split(trim(text), ' ');
    if (std::ranges::find(enabled, controller) != enabled.end()) continue;
    TRY(write_control(parent, "cgroup.subtree_control", "+" + controller));
  }
  return {};
}

Result<> remove_directories(const std::string& directory) {
  if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
  if (errno != EBUSY && errno != ENOTEMPTY) return fail_errno("rmdir \"{}\"", directory);
  const std::vector<std::string> groups = TRY(subgroups(directory));
  for (const std::string& group : groups) TRY(remove_directories(group));
  if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return {};
  return fail_errno("rmdir \"{}\"", directory);
}

void remove_marked_parents(const std::string& directory) {
  for (std::string parent = parent_of(directory); !parent.empty() && is_marked(parent);
       parent = parent_of(parent)) {
    if (rmdir(parent.c_str()) != 0 && errno != ENOENT) return;  // other containers are in it
  }
}

Result<std::vector<pid_t>> processes_below(const std::string& directory) {
  std::vector<pid_t> pids;
  const auto text = read_control(directory, "cgroup.procs");
  if (!text) {
    // ENODEV: removed between open and read. EOPNOTSUPP: a threaded v2 cgroup, whose processes
    // are listed in its domain.
    const int errnum = text.error().errnum();
    if (errnum == ENOENT || errnum == ENODEV || errnum == EOPNOTSUPP) return pids;
    return std::unexpected(text.error());
  }
  for (const std::string& line : split(*text, '\n')) {
    if (const auto pid = parse_int(line); pid && *pid > 0) pids.push_back(static_cast<pid_t>(*pid));
  }
  for (const std::string& group : TRY(subgroups(directory))) {
    const std::vector<pid_t> more = TRY(processes_below(group));
    pids.insert(pids.end(), more.begin(), more.end());
  }
  return pids;
}

Result<> inherit_cpuset(const std::string& mount_point, const std::string& directory) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    if (!trim(TRY(read_control(directory, file))).empty()) continue;
    const std::string parent = parent_of(directory);
    if (parent.size() > mount_point.size()) TRY(inherit_cpuset(mount_point, parent));
    const std::string inherited = TRY(read_control(parent, file));
    TRY(write_control(directory, file, trim(inherited)));
  }
  return {};
}

Result<bool> poll_until(std::chrono::milliseconds timeout,
                        const std::function<Result<bool>()>& done) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + timeout;
  std::chrono::microseconds pause{50};
  for (;;) {
    if (TRY(done())) return true;
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 3 / 2, std::chrono::microseconds{10000});
  }
}

}  // namespace trivet::cgroup
