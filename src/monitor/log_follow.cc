#include <array>
#include <chrono>
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/stop_fd.h"
#include "monitor/log_read.h"

namespace trivet::monitor {

namespace {

uint64_t inode_at(int directory_fd, int number) {
  struct stat info{};
  return fstatat(directory_fd, log_name(number).c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0
             ? info.st_ino
             : 0;
}

// The number that the file with this inode has by now, or, if it is gone, one more than the oldest.
int find_number(int directory_fd, uint64_t inode) {
  int number = 0;
  for (;; ++number) {
    const uint64_t found = inode_at(directory_fd, number);
    if (found == inode || (found == 0 && number > 0)) return number;
  }
}

void drain(int fd) {
  alignas(inotify_event) std::array<char, 4096> buffer;  // NOLINT
  while (::read(fd, buffer.data(), buffer.size()) > 0) {
  }
}

}  // namespace

// Moves to the file that was begun after `current`; false when there is none yet.
Result<bool> LogFollower::advance(LogFile& current) {
  const uint64_t inode = current.inode();
  if (inode_at(directory_fd_, 0) == inode) return false;
  // Written to before it was renamed: its end is final only now.
  TRY(current.read_on(take_));
  const int number = find_number(directory_fd_, inode);
  if (number == 0) return false;
  auto next = LogFile::open(directory_fd_, number - 1);
  if (!next && next.error().errnum() == ENOENT) return false;  // the container was removed
  LogFile file = TRY(std::move(next));
  // Renamed once more while it was opened: try again.
  if (find_number(directory_fd_, inode) != number) return true;
  current = std::move(file);
  return true;
}

Result<> LogFollower::catch_up(LogFile& current) {
  TRY(current.read_on(take_));
  while (TRY(advance(current))) TRY(current.read_on(take_));
  return {};
}

// False when nothing more will come.
Result<bool> LogFollower::wait(int inotify_fd, int stop_fd) {
  int timeout = -1;
  if (query_.until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(
        *query_.until - std::chrono::system_clock::now());
    if (left.count() <= 0) return false;
    constexpr int64_t kLongest = 1 << 30;
    timeout = static_cast<int>(std::min<int64_t>(left.count(), kLongest));
  }
  std::array<pollfd, 3> fds{pollfd{.fd = inotify_fd, .events = POLLIN, .revents = 0},
                            pollfd{.fd = query_.end_fd, .events = POLLIN, .revents = 0},
                            pollfd{.fd = stop_fd, .events = POLLIN, .revents = 0}};
  if (::poll(fds.data(), fds.size(), timeout) < 0 && errno != EINTR) return fail_errno("poll");
  if (fds[0].revents != 0) drain(inotify_fd);
  return fds[1].revents == 0 && fds[2].revents == 0;
}

Result<> LogFollower::run(LogFile current) {
  if (query_.end_fd < 0) return catch_up(current);
  const UniqueFd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify) return fail_errno("inotify_init1");
  const std::string path = fmt::format("/proc/self/fd/{}", directory_fd_);
  if (inotify_add_watch(inotify.get(), path.c_str(), IN_MODIFY | IN_MOVED_TO) < 0) {
    return fail_errno("inotify_add_watch");
  }
  const StopFd stop(query_.stop);
  do {
    TRY(catch_up(current));
  } while (TRY(wait(inotify.get(), stop.get())));
  return catch_up(current);
}

}  // namespace trivet::monitor
