// trivet-init: the smallest init. It starts one program, passes signals on to it, reaps whatever
// ends up as its child, and ends with the program's exit status (128 + N for signal N).
//
// Usage: trivet-init [--] PROGRAM [ARGUMENT…]. Exit status 126 and 127 as in a shell when PROGRAM
// can't be executed or found. It starts with all signals blocked, so that none is lost before it
// listens; the program starts with none. It is bound into containers of `trivet run --init` as
// /dev/init.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

[[noreturn]] void become(char** argv) {
  // A process group of its own, in the foreground of the terminal if there is one, so that Ctrl-C
  // reaches the program and not the init twice.
  setpgid(0, 0);
  signal(SIGTTOU, SIG_IGN);
  tcsetpgrp(STDIN_FILENO, getpid());
  signal(SIGTTOU, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  execvp(argv[0], argv);
  const int code = errno == ENOENT ? 127 : 126;
  std::fprintf(stderr, "trivet-init: cannot execute \"%s\": %s\n", argv[0], std::strerror(errno));
  _exit(code);
}

int exit_code_of(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Reaps everything that has ended; the program's exit code once it is among it, else -1.
int reap(pid_t program) {
  int code = -1;
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return code;
    if (pid == program) code = exit_code_of(status);
  }
}

}  // namespace

int main(int argc, char** argv) {
  char** program_argv = argv + 1;
  if (argc > 1 && std::strcmp(argv[1], "--") == 0) ++program_argv;
  if (*program_argv == nullptr) {
    std::fprintf(stderr, "usage: trivet-init [--] PROGRAM [ARGUMENT...]\n");
    return 125;
  }
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, nullptr);
  const pid_t program = fork();
  if (program < 0) {
    std::fprintf(stderr, "trivet-init: fork: %s\n", std::strerror(errno));
    return 125;
  }
  if (program == 0) become(program_argv);
  for (;;) {
    siginfo_t info{};
    const int number = sigwaitinfo(&all, &info);
    if (number == SIGCHLD) {
      const int code = reap(program);
      if (code >= 0) return code;
    } else if (number > 0 && number != SIGTTIN && number != SIGTTOU) {
      kill(program, number);
    }
  }
}
