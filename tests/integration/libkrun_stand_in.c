// Stands in for libkrun.so.1: writes each call down, and is no machine.
//
// KRUN_RECORD names the file for it (default: stderr). KRUN_FAIL=NAME=N makes the function NAME
// return -N. At the end it says what the process may do, and ends it with KRUN_EXIT (default: 7).
// -DWITHOUT_NAME leaves a function out, as older libraries do.
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "krun/api.h"

enum { CONTEXT = 40, CONSOLE = 2 };

__attribute__((format(printf, 2, 3))) static int32_t note(const char* name, const char* format,
                                                          ...) {
  const char* path = getenv("KRUN_RECORD");
  FILE* file = path ? fopen(path, "a") : stderr;
  if (!file) abort();
  va_list list;
  va_start(list, format);
  fprintf(file, "%s(", name);
  vfprintf(file, format, list);
  fprintf(file, ")\n");
  va_end(list);
  if (path) fclose(file);
  const char* fail = getenv("KRUN_FAIL");
  const size_t size = strlen(name);
  return fail && strncmp(fail, name, size) == 0 && fail[size] == '=' ? -atoi(fail + size + 1) : 0;
}

int32_t krun_init_log(int target_fd, uint32_t level, uint32_t style, uint32_t options) {
  return note(__func__, "%d, %u, %u, %u", target_fd, level, style, options);
}

int32_t krun_create_ctx() {
  const int32_t failed = note(__func__, "%s", "");
  return failed ? failed : CONTEXT;
}

int32_t krun_set_vm_config(uint32_t ctx_id, uint8_t num_vcpus, uint32_t ram_mib) {
  return note(__func__, "%u, %u, %u", ctx_id, num_vcpus, ram_mib);
}

int32_t krun_set_kernel(uint32_t ctx_id, const char* kernel_path, uint32_t kernel_format,
                        const char* initramfs, const char* cmdline) {
  return note(__func__, "%u, %s, %u, %s, %s", ctx_id, kernel_path, kernel_format, initramfs,
              cmdline);
}

int32_t krun_disable_implicit_console(uint32_t ctx_id) {
  return note(__func__, "%u", ctx_id);
}

#ifndef WITHOUT_krun_disable_implicit_vsock
int32_t krun_disable_implicit_vsock(uint32_t ctx_id) {
  return note(__func__, "%u", ctx_id);
}
#endif

int32_t krun_add_serial_console_default(uint32_t ctx_id, int input_fd, int output_fd) {
  return note(__func__, "%u, %d, %d", ctx_id, input_fd, output_fd);
}

int32_t krun_add_virtio_console_multiport(uint32_t ctx_id) {
  const int32_t failed = note(__func__, "%u", ctx_id);
  return failed ? failed : CONSOLE;
}

int32_t krun_add_console_port_inout(uint32_t ctx_id, uint32_t console_id, const char* name,
                                    int input_fd, int output_fd) {
  return note(__func__, "%u, %u, %s, %d, %d", ctx_id, console_id, name, input_fd, output_fd);
}

#ifndef WITHOUT_krun_add_disk2
// How the file behind a descriptor is opened, and what it begins with.
static const char* describe(int fd) {
  static char text[64];
  char begin[9] = "";
  const char* const modes[] = {"r", "w", "rw", "?"};
  const ssize_t count = pread(fd, begin, sizeof begin - 1, 0);
  snprintf(text, sizeof text, "%s %s", modes[fcntl(fd, F_GETFL) & O_ACCMODE],
           count > 0 ? begin : "-");
  return text;
}

// libkrun is written in Rust, whose library opens files by this name. Whatever this user may open
// by a path of /proc/self/fd, what comes is to be the descriptor itself.
int32_t krun_add_disk2(uint32_t ctx_id, const char* block_id, const char* disk_path,
                       uint32_t disk_format, bool read_only) {
  const int fd = open64(disk_path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  return note(__func__, "%u, %s, %s, %u, %d: %s", ctx_id, block_id, disk_path, disk_format,
              read_only, describe(fd));
}
#endif

#ifndef WITHOUT_krun_add_net_unixstream
int32_t krun_add_net_unixstream(uint32_t ctx_id, const char* c_path, int fd, uint8_t* const c_mac,
                                uint32_t features, uint32_t flags) {
  return note(__func__, "%u, %s, %d, %02x:%02x:%02x:%02x:%02x:%02x, %u, %u", ctx_id,
              c_path ? c_path : "NULL", fd, c_mac[0], c_mac[1], c_mac[2], c_mac[3], c_mac[4],
              c_mac[5], features, flags);
}
#endif

// "Uid: 65534 …" as 65534, of this process.
static void status(const char* key, char* value, size_t size) {
  char line[256];
  FILE* file = fopen("/proc/self/status", "r");
  if (!file) abort();
  value[0] = '\0';
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, key, strlen(key)) == 0) {
      snprintf(value, size, "%s", strtok(line + strlen(key), " \t\n"));
    }
  }
  fclose(file);
}

int32_t krun_start_enter(uint32_t ctx_id) {
  char uid[32], capabilities[32], privileges[32], filter[32];
  status("Uid:", uid, sizeof uid);
  status("CapEff:", capabilities, sizeof capabilities);
  status("NoNewPrivs:", privileges, sizeof privileges);
  status("Seccomp:", filter, sizeof filter);
  const pid_t child = fork();
  if (child == 0) _exit(0);
  const int32_t failed =
      note(__func__, "%u: uid %s, capabilities %s, no_new_privs %s, seccomp %s, fork %s", ctx_id,
           uid, capabilities, privileges, filter, child < 0 ? "refused" : "allowed");
  if (failed) return failed;
  fflush(NULL);
  _exit(getenv("KRUN_EXIT") ? atoi(getenv("KRUN_EXIT")) : 7);
}
