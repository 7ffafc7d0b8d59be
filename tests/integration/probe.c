// Tries system calls that a container's seccomp profile must refuse, and says what came of them: a
// line "NAME ERRNO" each, with 0 when the call was let through. With the arguments "udp PORT" it
// prints the first datagram that arrives there instead: busybox has no program for that.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/keyctl.h>

#define TRY_CALL(name, ...)                               \
  do {                                                    \
    errno = 0;                                            \
    const long result = syscall(SYS_##name, __VA_ARGS__); \
    printf("%s %d\n", #name, result < 0 ? errno : 0);     \
  } while (0)

static int print_datagram(int port) {
  const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (const struct sockaddr*)&address, sizeof address) != 0) return 1;
  char data[1024];
  const ssize_t length = recv(fd, data, sizeof data, 0);
  return length > 0 && fwrite(data, 1, (size_t)length, stdout) == (size_t)length ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "udp") == 0) return print_datagram(atoi(argv[2]));
  setvbuf(stdout, NULL, _IONBF, 0);
  TRY_CALL(mount, "none", "/tmp", "tmpfs", 0, NULL);
  TRY_CALL(umount2, "/proc", MNT_DETACH);
  TRY_CALL(unshare, CLONE_NEWUSER);
  TRY_CALL(unshare, CLONE_NEWNS);
  TRY_CALL(setns, -1, 0);
  TRY_CALL(pivot_root, "/", "/");
  TRY_CALL(keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
  TRY_CALL(add_key, "user", "name", "x", 1, KEY_SPEC_PROCESS_KEYRING);
  TRY_CALL(bpf, 0, NULL, 0);
  TRY_CALL(perf_event_open, NULL, 0, -1, -1, 0);
  TRY_CALL(kexec_load, 0, 0, NULL, 0);
  TRY_CALL(init_module, NULL, 0, "");
  TRY_CALL(open_by_handle_at, -1, NULL, 0);
  TRY_CALL(swapon, "/nowhere", 0);
  TRY_CALL(reboot, 0, 0, 0, NULL);
  TRY_CALL(clock_settime, 0, NULL);
  TRY_CALL(userfaultfd, 0);
  TRY_CALL(fsopen, "tmpfs", 0);
  TRY_CALL(clone3, NULL, 0);
  TRY_CALL(getpid, 0);
  return 0;
}
