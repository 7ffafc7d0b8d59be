// The floor: the least that any container runtime must do to run a program, in plain C.
//
//   floor [--cgroups] ROOTFS PROGRAM [ARGUMENT…]
//
// One clone into new pid, mount, uts, ipc and cgroup namespaces; the mounts of the benchmark's
// config.json; pivot_root; execve; wait. No parsing, no checks, no cgroup, no capabilities: a
// runtime that does all of those is measured as a multiple of this. --cgroups also mounts every
// version 1 hierarchy, as a runtime does for a mount of type "cgroup".
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int result, const char* what) {
  if (result == 0) return;
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  _exit(125);
}

static void mount_cgroups(void) {
  static const char* const kHierarchies[] = {"cpu",     "cpuacct", "cpuset", "memory",
                                             "devices", "freezer", "blkio",  "pids"};
  check(mount("tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=755"),
        "mount sys/fs/cgroup");
  for (size_t i = 0; i < sizeof kHierarchies / sizeof *kHierarchies; ++i) {
    char path[64];
    snprintf(path, sizeof path, "sys/fs/cgroup/%s", kHierarchies[i]);
    check(mkdir(path, 0755), path);
    check(mount("cgroup", path, "cgroup", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY,
                kHierarchies[i]),
          path);
  }
  check(mkdir("sys/fs/cgroup/systemd", 0755), "sys/fs/cgroup/systemd");
  check(mount("cgroup", "sys/fs/cgroup/systemd", "cgroup",
              MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, "none,name=systemd"),
        "name=systemd");
}

static void enter(const char* rootfs, int cgroups) {
  check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
  check(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), "bind the root");
  check(chdir(rootfs), "chdir to the root");
  check(mount("proc", "proc", "proc", 0, NULL), "mount proc");
  check(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"),
        "mount dev");
  check(mkdir("dev/pts", 0755) | mkdir("dev/shm", 0755) | mkdir("dev/mqueue", 0755),
        "mkdir in dev");
  check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620,gid=5"),
        "mount dev/pts");
  check(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"),
        "mount dev/shm");
  check(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL),
        "mount dev/mqueue");
  check(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL),
        "mount sys");
  if (cgroups) mount_cgroups();
  check((int)syscall(SYS_pivot_root, ".", "."), "pivot_root");
  check(umount2(".", MNT_DETACH), "detach the old root");
  check(chdir("/"), "chdir /");
  check(sethostname("floor", 5), "sethostname");
}

int main(int argc, char** argv) {
  const int cgroups = argc > 1 && strcmp(argv[1], "--cgroups") == 0;
  argv += cgroups;
  argc -= cgroups;
  if (argc < 3) {
    fprintf(stderr, "usage: floor [--cgroups] ROOTFS PROGRAM [ARGUMENT...]\n");
    return 125;
  }
  const unsigned long flags =
      CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | SIGCHLD;
  const pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
  if (pid == 0) {
    static char* const kEnvironment[] = {"PATH=/usr/bin:/bin", NULL};
    enter(argv[1], cgroups);
    execve(argv[2], argv + 2, kEnvironment);
    check(-1, argv[2]);
  }
  check(pid > 0 ? 0 : -1, "clone");
  int status = 0;
  check(waitpid(pid, &status, 0) == pid ? 0 : -1, "wait");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
