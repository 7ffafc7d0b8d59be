// Who lives, and how everything of a container goes.
#include <array>
#include <csignal>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/failures.h"
#include "base/fs.h"
#include "monitor/record.h"
#include "monitor/traces.h"

namespace trivet::monitor {

namespace {

// An open file description lock: asking about it has no effect on it, unlike flock(2), so a look
// can't make a monitor fail that is just starting.
struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// What the engine still has: its init, its cgroup, its directory.
Result<> remove_engine_state(const Directories& directories, const std::string& id) {
  return container::Container::force_remove(directories.engine(), id);
}

Result<> kill_init(const ProcessId& init) {
  if (init.pid <= 0) return {};
  const auto pidfd = open_pidfd(init);
  if (!pidfd) return {};
  TRY_IN(send_signal(pidfd->get(), SIGKILL), "kill process {}", init.pid);
  constexpr std::chrono::seconds kPatience{10};
  if (!TRY(wait_pidfd(pidfd->get(), kPatience))) {
    return fail(ErrorCode::kTimeout, "process {} does not end after SIGKILL", init.pid);
  }
  return {};
}

Failures remove_volumes(const Directories& directories, const Record& record) {
  Failures failures;
  for (const std::string& volume : record.anonymous_volumes) {
    failures.add(remove_tree(AT_FDCWD, directories.data + "/volumes/" + volume));
  }
  return failures;
}

}  // namespace

Result<> release_name(const Directories& directories, const std::string& name,
                      const std::string& id) {
  if (name.empty()) return {};
  const auto names = open_file(directories.names(), O_RDONLY | O_DIRECTORY);
  if (!names) return names.error().errnum() == ENOENT ? Result<>() : std::unexpected(names.error());
  while (flock(names->get(), LOCK_EX) != 0) {
    if (errno != EINTR) return fail_errno("lock \"{}\"", directories.names());
  }
  std::array<char, 256> target{};
  const ssize_t length = readlinkat(names->get(), name.c_str(), target.data(), target.size());
  if (length < 0 && errno == ENOENT) return {};
  if (length < 0) return fail_errno("readlink \"{}/{}\"", directories.names(), name);
  if (std::string_view(target.data(), static_cast<size_t>(length)) != id) return {};
  if (unlinkat(names->get(), name.c_str(), 0) != 0 && errno != ENOENT) {
    return fail_errno("unlink \"{}/{}\"", directories.names(), name);
  }
  return {};
}

Result<UniqueFd> take_lock(const std::string& runtime_directory) {
  UniqueFd fd = TRY(open_file(runtime_directory + "/lock", O_RDWR | O_CREAT, 0600));
  struct flock lock = whole_file();
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) == 0) return fd;
  if (errno == EAGAIN || errno == EACCES) {
    return fail(ErrorCode::kAlreadyExists, "the container has a monitor already");
  }
  return fail_errno("lock \"{}/lock\"", runtime_directory);
}

bool monitor_alive(const Directories& directories, const std::string& id) {
  const auto fd = open_file(directories.runtime(id) + "/lock", O_RDWR);
  if (!fd) return false;
  struct flock lock = whole_file();
  return fcntl(fd->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

Result<> remove_container(const Directories& directories, const Record& record) {
  const auto status = read_status(directories, record.id);
  TRY(remove_engine_state(directories, record.id));
  if (status) {
    TRY(kill_init(status->init));
    TRY(net::stop_pasta(status->pasta));
  }
  return remove_traces(directories, record);
}

// As long as the record is there, the removal can be repeated. The name is last: who doesn't find
// it finds no record either. Without a record it is free, and `prune` removes it.
Result<> remove_traces(const Directories& directories, const Record& record) {
  Failures failures = remove_volumes(directories, record);
  failures.add(remove_tree(AT_FDCWD, directories.runtime(record.id)));
  failures.add(remove_tree(AT_FDCWD, directories.container(record.id)));
  failures.add(release_name(directories, record.name, record.id));
  return std::move(failures).result();
}

Result<> hide_traces(const Directories& directories, const Record& record) {
  Failures failures = remove_volumes(directories, record);
  const std::string from = directories.container(record.id);
  const std::string to = directories.removed() + "/" + record.id;
  failures.add(make_dirs(directories.removed(), 0700));
  if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
    failures.add(fail_errno("rename \"{}\" to \"{}\"", from, to));
  }
  return std::move(failures).result();
}

Result<> remove_hidden_traces(const Directories& directories, const Record& record) {
  Failures failures;
  failures.add(release_name(directories, record.name, record.id));
  failures.add(remove_tree(AT_FDCWD, directories.runtime(record.id)));
  failures.add(remove_tree(AT_FDCWD, directories.removed() + "/" + record.id));
  return std::move(failures).result();
}

}  // namespace trivet::monitor
