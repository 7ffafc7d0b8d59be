// Waiting for a container's process in the foreground: signals, and the terminal if there is one.
#include <array>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "oci_cli/commands.h"

namespace trivet::oci_cli {

namespace {

// Everything a person or a supervisor sends; not what reports the process's own state.
sigset_t forwarded_signals() {
  sigset_t set;
  sigfillset(&set);
  for (const int signal : {SIGCHLD, SIGTTIN, SIGTTOU, SIGTSTP, SIGCONT, SIGPIPE, SIGURG, SIGSEGV,
                           SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF, SIGVTALRM, SIGALRM}) {
    sigdelset(&set, signal);
  }
  return set;
}

// The caller's terminal in raw mode, restored at the end.
class RawTerminal {
 public:
  RawTerminal() {
    if (tcgetattr(STDIN_FILENO, &saved_) != 0) return;
    active_ = true;
    termios raw = saved_;
    cfmakeraw(&raw);
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (active_) tcsetattr(STDIN_FILENO, TCSANOW, &saved_);
  }

 private:
  termios saved_{};
  bool active_ = false;
};

void copy_window_size(int console) {
  winsize size{};
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) ioctl(console, TIOCSWINSZ, &size);
}

// One read from `from` to `to`; false at the end of the stream.
bool relay(int from, int to) {
  std::array<char, 16384> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  const ssize_t count = ::read(from, buffer.data(), buffer.size());
  if (count < 0) return errno == EINTR;
  if (count == 0) return false;
  return write_all(to, std::string_view(buffer.data(), static_cast<size_t>(count)), "terminal")
      .has_value();
}

void forward_signal(int signal_fd, int pidfd, int console) {
  signalfd_siginfo info{};
  if (::read(signal_fd, &info, sizeof info) != sizeof info) return;
  if (info.ssi_signo == SIGWINCH && console >= 0) return copy_window_size(console);
  (void)send_signal(pidfd, static_cast<int>(info.ssi_signo));
}

enum Slot : size_t { kProcess, kSignals, kConsole, kInput };

// Until the process has ended and, with a terminal, its output is drained.
Result<> relay_until_end(int pidfd, int signal_fd, int console) {
  std::array<pollfd, 4> fds{
      pollfd{.fd = pidfd, .events = POLLIN, .revents = 0},
      pollfd{.fd = signal_fd, .events = POLLIN, .revents = 0},
      pollfd{.fd = console, .events = POLLIN, .revents = 0},
      pollfd{.fd = console >= 0 ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
  for (;;) {
    if (::poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno("poll");
    }
    if ((fds[kSignals].revents & POLLIN) != 0) forward_signal(signal_fd, pidfd, console);
    if (fds[kInput].revents != 0 && !relay(STDIN_FILENO, console)) fds[kInput].fd = -1;
    if (fds[kConsole].revents != 0) {
      if (!relay(console, STDOUT_FILENO)) fds[kConsole].fd = -1;
    } else if (fds[kProcess].revents != 0) {
      return {};
    }
  }
}

}  // namespace

Result<> block_forwarded_signals() {
  const sigset_t set = forwarded_signals();
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return fail_errno("sigprocmask");
  return {};
}

Result<int> wait_in_foreground(int pidfd, int console) {
  const sigset_t set = forwarded_signals();
  const UniqueFd signal_fd(signalfd(-1, &set, SFD_CLOEXEC));
  if (!signal_fd) return fail_errno("signalfd");
  std::optional<RawTerminal> raw;
  if (console >= 0) {
    copy_window_size(console);
    raw.emplace();
  }
  TRY(relay_until_end(pidfd, signal_fd.get(), console));
  return reap_child(pidfd);
}

}  // namespace trivet::oci_cli
