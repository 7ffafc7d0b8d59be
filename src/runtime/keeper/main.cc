// trivet-keeper: holds the user namespace in which an ordinary user's containers are, so that each
// command finds it again (src/runtime/user_namespace.cc). It is started by trivet, never by hand.
//
// Usage: trivet-keeper FILE, with a socket as 0: makes the namespace, writes a byte, reads one when
// its ids are mapped. It ends when FILE is removed, with which the directory of the user's
// containers goes, or by a signal.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

// What could not be done goes back over the socket, behind a byte that says so.
int fail(const char* what) {
  char text[256];
  const int length = std::snprintf(text, sizeof text, "-%s: %s", what, std::strerror(errno));
  (void)!write(STDIN_FILENO, text, static_cast<size_t>(length));
  return 1;
}

bool is_still(const char* file, ino_t inode) {
  struct stat status;
  return stat(file, &status) == 0 && status.st_ino == inode;
}

void let_go_of_caller() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int fd = 0; fd <= 2; ++fd) (void)dup2(null, fd);
  (void)chdir("/");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "trivet-keeper: it is started by trivet, not by hand\n");
    return 2;
  }
  const char* file = argv[1];
  const int watch = inotify_init1(IN_CLOEXEC);
  if (watch < 0 || inotify_add_watch(watch, file, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
    return fail("watch the file of the user namespace");
  }
  struct stat status;
  if (stat(file, &status) != 0) return fail("look at the file of the user namespace");
  if (unshare(CLONE_NEWUSER) != 0) return fail("make a user namespace");
  char byte = '+';
  if (write(STDIN_FILENO, &byte, 1) != 1 || read(STDIN_FILENO, &byte, 1) != 1) return 1;
  let_go_of_caller();
  char events[4096];
  while (is_still(file, status.st_ino)) {
    if (read(watch, events, sizeof events) < 0 && errno != EINTR) return 1;
  }
  return 0;
}
