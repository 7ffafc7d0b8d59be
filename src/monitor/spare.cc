#include "monitor/spare.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd_passing.h"
#include "base/process_title.h"
#include "base/reset_signals.h"
#include "base/text.h"
#include "monitor/arguments.h"
#include "monitor/process.h"

namespace trivet::monitor {

namespace {

constexpr char kSeparator = '\0';
// Two paths and an id are less.
constexpr size_t kMostWords = 16U << 10U;

void close_all_but(std::array<int, 2> kept) {
  std::ranges::sort(kept);
  int next = STDERR_FILENO + 1;
  for (const int fd : kept) {
    if (fd > next) (void)close_range(static_cast<unsigned>(next), static_cast<unsigned>(fd - 1), 0);
    next = fd + 1;
  }
  (void)close_range(static_cast<unsigned>(next), ~0U, 0);
}

// What it is to be, as the program's command line has it; nothing: nobody needs it.
Result<std::optional<Arguments>> wait_for_words(UniqueFd sync, UniqueFd go) {
  std::string text(kMostWords, '\0');
  UniqueFd given;
  text.resize(TRY(receive_with_fd(go.get(), text.data(), text.size(), &given)));
  if (text.empty()) return std::nullopt;
  const std::vector<std::string> words = split(text, kSeparator);
  // The caller's own words may have secrets in them. Without a title it works, too.
  (void)set_process_title("trivet-monitor", "trivet-monitor " + join(words, " "));
  Arguments arguments = TRY(parse_arguments(words));
  arguments.sync = std::move(sync);
  arguments.go = std::move(go);
  arguments.given = std::move(given);
  return arguments;
}

[[noreturn]] void be_spare(UniqueFd sync, UniqueFd go) {
  (void)setsid();
  reset_signals();
  close_all_but({sync.get(), go.get()});
  stay_small();
  auto arguments = wait_for_words(std::move(sync), std::move(go));
  if (!arguments || !*arguments) _exit(arguments ? 0 : 1);
  _exit(live(std::move(**arguments)) ? 0 : 1);
}

}  // namespace

Result<Spare> Spare::make() {
  // The monitor's own come after them, whoever has opened them.
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) < 0) return fail_errno("descriptor {}", fd);
  }
  Pipe sync = TRY(make_pipe());
  AttachPair go = TRY(make_attach_pair());
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) be_spare(std::move(sync.write_end), std::move(go.monitor));
  return Spare(pid, std::move(sync.read_end), std::move(go.client));
}

Spare::~Spare() {
  if (!go_) return;
  go_.reset();
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<MonitorStarting> Spare::become(const MonitorStart& start) && {
  const std::string text = join(words_of(start), std::string(1, kSeparator));
  if (start.given_fd < 0) {
    TRY(send_frame(go_.get(), text));
  } else if (const int failure = send_with_fd(go_.get(), text.data(), text.size(), start.given_fd);
             failure != 0) {
    return std::unexpected(Error::from_errno(failure, "send to the monitor"));
  }
  reap_later(pid_);
  return MonitorStarting(std::move(sync_), std::move(go_));
}

}  // namespace trivet::monitor
