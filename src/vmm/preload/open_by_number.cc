// Preloaded into QEMU, and a part of trivet-krun: opening /proc/self/fd/N gives a duplicate of N
// instead of a new description.
//
// QEMU 7.2 opens the file of a memory backend by name and for writing, also when it maps it
// privately. A template's memory is every later machine's, so a QEMU that a guest has taken over
// must have no descriptor that writes to it; and it runs as a user who may not open the file. With
// this it has the descriptor that it was given: for reading only. (-add-fd, which does the same for
// disks, is not known to memory backends.) libkrun opens disks by name, too.
//
// No libc is linked; what is there is QEMU's own.
#include <stdarg.h>

#include "container/stage/kernel.h"
#include <linux/fcntl.h>

using trivet::stage::sys;

extern "C" int* __errno_location();  // NOLINT(bugprone-reserved-identifier)

namespace {

// The number in "/proc/self/fd/N", or -1.
int number_in(const char* path) {
  for (const char* prefix = "/proc/self/fd/"; *prefix != '\0'; ++prefix, ++path) {
    if (*path != *prefix) return -1;
  }
  if (*path == '\0') return -1;
  int number = 0;
  for (; *path != '\0'; ++path) {
    if (*path < '0' || *path > '9' || number > 99999) return -1;
    number = number * 10 + (*path - '0');
  }
  return number;
}

int open_path(const char* path, int flags, unsigned mode) {
  const int number = number_in(path);
  const long result = number >= 0 ? sys(__NR_fcntl, number, F_DUPFD_CLOEXEC, 0)
                                  : sys(__NR_openat, AT_FDCWD, path, flags, mode);
  if (result >= 0) return static_cast<int>(result);
  *__errno_location() = static_cast<int>(-result);
  return -1;
}

}  // namespace

// The two names under which QEMU, built with large files and _FORTIFY_SOURCE, calls open(2); the
// first is Rust's as well.
extern "C" __attribute__((visibility("default"))) int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const unsigned mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(list, unsigned) : 0;
  va_end(list);
  return open_path(path, flags, mode);
}

extern "C" __attribute__((visibility("default"))) int
__open64_2(  // NOLINT(bugprone-reserved-identifier)
    const char* path, int flags) {
  return open_path(path, flags, 0);
}
