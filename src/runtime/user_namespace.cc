// The user namespace of an ordinary user's containers. All of a user's commands are in the same
// one: who has made a container's namespaces may enter them.
#include "trivet/user_namespace.h"

#include <array>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <optional>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/socket_pair.h"
#include "base/text.h"
#include "base/user_root.h"
#include "linux/id_map.h"
#include <linux/nsfs.h>

namespace trivet::runtime {

namespace {

constexpr int kKeeperTimeoutMs = 10'000;

// In /tmp anybody may have made a directory of that name: then what is in it is his.
Result<> check_owner(const std::string& directory) {
  struct stat status{};
  if (lstat(directory.c_str(), &status) != 0) return fail_errno("stat \"{}\"", directory);
  const bool ours = status.st_uid == geteuid() || status.st_uid == 0;
  if (S_ISDIR(status.st_mode) && ours) return {};
  return std::unexpected(
      Error(ErrorCode::kPermissionDenied,
            fmt::format("\"{}\" is not a directory of this user", directory))
          .hint("set XDG_RUNTIME_DIR or TRIVET_STATE_DIR to a directory that belongs to you"));
}

Result<> prepare_state(const std::string& state) {
  TRY(make_dirs(state, 0700));
  TRY(check_owner(state.substr(0, state.find_last_of('/') + 1)));
  return check_owner(state);
}

std::string user_name() {
  const passwd* entry = getpwuid(geteuid());  // NOLINT(concurrency-mt-unsafe)
  return entry != nullptr ? std::string(entry->pw_name) : std::string();
}

// ---------------------------------------------------------------- the one that is there

// "PID START_TICKS"; nothing when nobody holds the namespace any more.
std::optional<ProcessId> parse_keeper(const std::string& text) {
  const std::vector<std::string> words = split(trim(text), ' ');
  if (words.size() != 2) return std::nullopt;
  const auto pid = parse_int(words[0]);
  const auto ticks = parse_int(words[1]);
  if (!pid || !ticks || *pid <= 1) return std::nullopt;
  const ProcessId keeper{.pid = static_cast<pid_t>(*pid),
                         .start_ticks = static_cast<uint64_t>(*ticks)};
  return is_alive(keeper) ? std::optional(keeper) : std::nullopt;
}

Result<UniqueFd> open_namespace(pid_t pid) {
  UniqueFd fd = TRY(open_file(fmt::format("/proc/{}/ns/user", pid), O_RDONLY));
  uid_t owner = 0;
  if (ioctl(fd.get(), NS_GET_OWNER_UID, &owner) != 0) return fail_errno("NS_GET_OWNER_UID");
  if (owner == geteuid()) return fd;
  return fail(ErrorCode::kPermissionDenied, "the user namespace of process {} is not this user's",
              pid);
}

// ---------------------------------------------------------------- a new one

struct Maps {
  std::string uids;
  std::string gids;
};

// Subordinate ids of only one kind are of no use.
Maps plan_maps() {
  const std::string name = user_name();
  const auto plan = [&](const char* path, uint32_t id) {
    return map_with_subordinates(read_file(path).value_or(""), name, id);
  };
  Maps maps{.uids = plan("/etc/subuid", geteuid()), .gids = plan("/etc/subgid", getegid())};
  if (maps_one_id(maps.uids) || maps_one_id(maps.gids)) {
    maps = {.uids = fmt::format("0 {} 1\n", geteuid()), .gids = fmt::format("0 {} 1\n", getegid())};
  }
  return maps;
}

// Waits for the keeper's word: "+", or "-" and why not.
Result<> hear(int socket) {
  pollfd entry{.fd = socket, .events = POLLIN, .revents = 0};
  if (poll(&entry, 1, kKeeperTimeoutMs) <= 0) {
    return fail(ErrorCode::kTimeout, "trivet-keeper does not answer");
  }
  std::array<char, 256> text{};
  const ssize_t count = read(socket, text.data(), text.size());
  if (count <= 0) return fail(ErrorCode::kSystem, "trivet-keeper has ended");
  const std::string_view said(text.data(), static_cast<size_t>(count));
  if (said.front() == '+') return {};
  return std::unexpected(
      Error(ErrorCode::kUnsupported, std::string(said.substr(1)))
          .hint("user namespaces may be off on this host: see the sysctls user.max_user_namespaces "
                "and kernel.unprivileged_userns_clone; or run trivet as root"));
}

Result<> map_ids(int socket, pid_t keeper, const Maps& maps) {
  TRY(hear(socket));
  TRY(write_id_maps(keeper, maps.uids, maps.gids));
  if (write(socket, "+", 1) != 1) return fail_errno("write to trivet-keeper");
  return {};
}

Result<ProcessId> start_keeper(const std::string& file, const Maps& maps) {
  const std::string program = find_companion("trivet-keeper");
  if (program.empty()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "the program trivet-keeper is not installed")
            .hint("it belongs beside trivet or into PREFIX/libexec/trivet"));
  }
  auto [ours, theirs] = TRY(make_socket_pair());
  const pid_t pid = TRY(spawn_in_session(program, {"trivet-keeper", file},
                                         {{.fd = theirs.get(), .number = STDIN_FILENO}}));
  theirs.reset();
  // A keeper that hears nothing ends by itself.
  TRY_IN(map_ids(ours.get(), pid, maps), "the user namespace for containers");
  return identify_process(pid);
}

Result<> enter(int namespace_fd) {
  const std::string user = fmt::format("{}", geteuid());
  if (setns(namespace_fd, CLONE_NEWUSER) != 0) {
    const int errnum = errno;
    auto error = Error::from_errno(errnum, "enter the user namespace of this user's containers");
    if (errnum != EINVAL) return std::unexpected(std::move(error));
    return std::unexpected(std::move(error).hint("the process must have only one thread"));
  }
  // Mounts of our own, as the engine makes them for a microVM's disk; the host's come in, too.
  if (unshare(CLONE_NEWNS) != 0) return fail_errno("unshare the mount namespace");
  // New privileges have made /proc/self root's, outside.
  if (prctl(PR_SET_DUMPABLE, 1, 0L, 0L, 0L) != 0) return fail_errno("prctl PR_SET_DUMPABLE");
  setenv(kUsersRootVariable, user.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  return {};
}

// A program, trivet-keeper, holds the namespace from the first call on. Whether there are ids but
// one is of interest when it is made.
struct Entered {
  bool made = false;
  bool one_id = false;
};
Result<Entered> enter_through(const std::string& state) {
  TRY(prepare_state(state));
  const std::string file = state + "/user-namespace";
  const FileLock lock = TRY(FileLock::acquire(AT_FDCWD, file + ".lock"));
  Entered entered;
  std::optional<ProcessId> keeper = parse_keeper(read_file(file).value_or(""));
  if (!keeper) {
    const Maps maps = plan_maps();
    TRY(replace_file(AT_FDCWD, file, "", 0600));
    keeper = TRY(start_keeper(file, maps));
    const std::string text = fmt::format("{} {}\n", keeper->pid, keeper->start_ticks);
    const UniqueFd fd = TRY(open_file(file, O_WRONLY | O_TRUNC));
    TRY(write_all(fd.get(), text, file));
    entered = {.made = true, .one_id = maps_one_id(maps.uids)};
  }
  TRY(enter(TRY(open_namespace(keeper->pid)).get()));
  return entered;
}

}  // namespace

}  // namespace trivet::runtime

namespace trivet {

Result<std::string> enter_user_namespace(const EngineOptions& options) {
  if (geteuid() == 0) return {};
  const std::string given = options.state_dir.empty() ? default_state_dir() : options.state_dir;
  std::error_code error;
  const auto state = std::filesystem::absolute(given, error).lexically_normal().string();
  const auto entered = TRY(runtime::enter_through(state));
  if (!entered.made || !entered.one_id) return {};
  return "this user has no subordinate ids: the files of images all become yours, and programs run "
         "as "
         "root only; an entry in /etc/subuid and /etc/subgid and Debian's package uidmap change "
         "that";
}

}  // namespace trivet
