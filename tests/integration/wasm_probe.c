// A WASI program that does what its words say: "write /a text , read /a". Built by clang for
// wasm32-wasi and run by the Wasm tests. Each command prints a line; one that fails prints
// "COMMAND: error text" and the program goes on.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char** environ;

static void report(const char* command, int result) {
  if (result == 0) {
    printf("%s ok\n", command);
  } else {
    printf("%s: %s\n", command, strerror(errno));
  }
}

static int write_file(const char* path, const char* text, int flags) {
  int fd = open(path, O_WRONLY | O_CREAT | flags, 0644);
  if (fd < 0) return -1;
  ssize_t done = write(fd, text, strlen(text));
  return close(fd) == 0 && done == (ssize_t)strlen(text) ? 0 : -1;
}

static int print_file(const char* path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) return -1;
  char buffer[4096];
  ssize_t size = read(fd, buffer, sizeof buffer);
  if (size >= 0) printf("%.*s\n", (int)size, buffer);
  close(fd);
  return size < 0 ? -1 : 0;
}

static int by_name(const void* a, const void* b) {
  return strcmp(*(const char* const*)a, *(const char* const*)b);
}

static int list(const char* path) {
  DIR* directory = opendir(path);
  if (directory == NULL) return -1;
  static char* names[4096];
  int count = 0;
  for (struct dirent* entry; (entry = readdir(directory)) != NULL && count < 4096;) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      names[count++] = strdup(entry->d_name);
  }
  closedir(directory);
  qsort(names, (size_t)count, sizeof *names, by_name);
  printf("[");
  for (int i = 0; i < count; ++i) printf("%s%s", i ? " " : "", names[i]);
  printf("]\n");
  return 0;
}

static int print_stat(const char* path, int nofollow) {
  struct stat status;
  if ((nofollow ? lstat(path, &status) : stat(path, &status)) != 0) return -1;
  const char* kind = S_ISDIR(status.st_mode)   ? "directory"
                     : S_ISREG(status.st_mode) ? "file"
                     : S_ISLNK(status.st_mode) ? "symlink"
                                               : "other";
  printf("%s %lld\n", kind, (long long)status.st_size);
  return 0;
}

static int print_link(const char* path) {
  char target[1024];
  ssize_t size = readlink(path, target, sizeof target);
  if (size < 0) return -1;
  printf("-> %.*s\n", (int)size, target);
  return 0;
}

static void copy_input(int upper) {
  static char buffer[65536];
  for (ssize_t size; (size = read(0, buffer, sizeof buffer)) > 0;) {
    for (ssize_t i = 0; upper && i < size; ++i)
      if (buffer[i] >= 'a' && buffer[i] <= 'z') buffer[i] -= 32;
    for (ssize_t done = 0; done < size;) {
      ssize_t now = write(1, buffer + done, (size_t)(size - done));
      if (now < 0) exit(9);
      done += now;
    }
  }
}

static void write_bytes(long count) {
  unsigned char buffer[8192];
  for (long done = 0; done < count;) {
    long now = count - done < (long)sizeof buffer ? count - done : (long)sizeof buffer;
    for (long i = 0; i < now; ++i) buffer[i] = (unsigned char)(done + i);
    for (long put = 0; put < now;) {
      ssize_t size = write(1, buffer + put, (size_t)(now - put));
      if (size < 0) exit(9);
      put += size;
    }
    done += now;
  }
}

static void print_clocks(void) {
  struct timespec real, before, after, resolution, nap = {0, 30 * 1000 * 1000};
  clock_gettime(CLOCK_REALTIME, &real);
  clock_gettime(CLOCK_MONOTONIC, &before);
  nanosleep(&nap, NULL);
  clock_gettime(CLOCK_MONOTONIC, &after);
  clock_getres(CLOCK_MONOTONIC, &resolution);
  printf("%lld %lld %lld\n", (long long)real.tv_sec,
         (long long)((after.tv_sec - before.tv_sec) * 1000 +
                     (after.tv_nsec - before.tv_nsec) / 1000000),
         (long long)resolution.tv_nsec);
}

static void print_random(void) {
  unsigned char bytes[16];
  if (getentropy(bytes, sizeof bytes) != 0) exit(9);
  for (size_t i = 0; i < sizeof bytes; ++i) printf("%02x", bytes[i]);
  printf("\n");
}

static void nap(long milliseconds) {
  struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  nanosleep(&time, NULL);
}

// Every page is touched, so that the memory is really there.
static void fill_memory(long mebibytes) {
  long done = 0;
  for (; done < mebibytes; ++done) {
    char* volatile piece = malloc(1 << 20);  // volatile: or the compiler does without it
    if (piece == NULL) break;
    memset(piece, 1, 1 << 20);
  }
  printf("filled %ld MiB\n", done);
  if (done < mebibytes) abort();
}

static volatile int sink;
__attribute__((noinline)) static int recurse(int depth) {
  volatile char frame[512];
  frame[0] = (char)depth;
  sink = recurse(depth + 1) + frame[0];
  return sink;
}

static volatile uint32_t counter;
__attribute__((noreturn)) static void spin(void) {
  for (;;) ++counter;
}

static void tick(void) {
  for (int i = 1;; ++i) {
    printf("tick %d\n", i);
    nap(50);
  }
}

static int do_command(int count, char** word) {
  const char* name = word[0];
  const char* a = count > 1 ? word[1] : "";
  const char* b = count > 2 ? word[2] : "";
#define IS(text) (strcmp(name, text) == 0)
  if (IS("write"))
    report(name, write_file(a, b, O_TRUNC));
  else if (IS("append"))
    report(name, write_file(a, b, O_APPEND));
  else if (IS("create"))
    report(name, write_file(a, b, O_EXCL));
  else if (IS("read")) {
    if (print_file(a) != 0) report(name, -1);
  } else if (IS("ls")) {
    if (list(a) != 0) report(name, -1);
  } else if (IS("stat")) {
    if (print_stat(a, 0) != 0) report(name, -1);
  } else if (IS("lstat")) {
    if (print_stat(a, 1) != 0) report(name, -1);
  } else if (IS("readlink")) {
    if (print_link(a) != 0) report(name, -1);
  } else if (IS("rename"))
    report(name, rename(a, b));
  else if (IS("unlink"))
    report(name, unlink(a));
  else if (IS("mkdir"))
    report(name, mkdir(a, 0755));
  else if (IS("rmdir"))
    report(name, rmdir(a));
  else if (IS("symlink"))
    report(name, symlink(a, b));
  else if (IS("link"))
    report(name, link(a, b));
  else if (IS("truncate"))
    report(name, truncate(a, atol(b)));
  else if (IS("echo"))
    printf("%s\n", a);
  else if (IS("args")) {
    for (int i = 1; i < count; ++i) printf("<%s>\n", word[i]);
  } else if (IS("env")) {
    for (char** e = environ; *e; ++e) printf("%s\n", *e);
  } else if (IS("cat"))
    copy_input(0);
  else if (IS("upper"))
    copy_input(1);
  else if (IS("bytes"))
    write_bytes(atol(a));
  else if (IS("raw"))
    fputs(a, stdout);
  else if (IS("err")) {
    fflush(stdout);
    fprintf(stderr, "%s\n", a);
  } else if (IS("tty"))
    printf("%d %d %d\n", isatty(0), isatty(1), isatty(2));
  else if (IS("clocks"))
    print_clocks();
  else if (IS("random"))
    print_random();
  else if (IS("sleep"))
    nap(atol(a));
  else if (IS("fill"))
    fill_memory(atol(a));
  else if (IS("recurse"))
    recurse(0);
  else if (IS("spin"))
    spin();
  else if (IS("tick"))
    tick();
  else if (IS("trap"))
    __builtin_trap();
  else if (IS("abort"))
    abort();
  else if (IS("exit"))
    exit(atoi(a));
  else {
    printf("%s: what?\n", name);
    return 2;
  }
  return 0;
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int from = 1; from < argc;) {
    int to = from;
    while (to < argc && strcmp(argv[to], ",") != 0) ++to;
    if (to > from) {
      int code = do_command(to - from, argv + from);
      if (code != 0) return code;
    }
    from = to + 1;
  }
  return 0;
}
