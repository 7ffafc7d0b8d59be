#include "monitor/control.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <mutex>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "base/fs.h"
#include "base/process.h"
#include "base/stop_fd.h"

namespace trivet::monitor {

namespace {

// Small: those that only ask get no output.
using Buffer = std::array<char, 4096>;

// A monitor that goes in the middle of the conversation is one that is not there.
Error lost(Error error) {
  const bool gone = error.errnum() == EPIPE || error.errnum() == ECONNRESET;
  return gone ? std::move(error).with_code(ErrorCode::kNotFound) : std::move(error);
}

// Sends a request and waits for its answer; the exit code when that is the answer.
Result<std::optional<int>> ask_on(int connection, const std::string& frame) {
  if (auto sent = send_frame(connection, frame); !sent) {
    return std::unexpected(lost(std::move(sent).error()));
  }
  Buffer buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  auto answer = receive_frame(connection, buffer.data(), buffer.size());
  if (!answer) return std::unexpected(lost(std::move(answer).error()));
  const auto& message = *answer;
  if (!message)
    return fail(ErrorCode::kNotFound, "the container's monitor ended without an answer");
  if (message->type == Frame::kError) return std::unexpected(read_error(message->payload));
  if (message->type == Frame::kExit) return TRY(read_number(message->payload));
  return std::nullopt;
}

Result<std::optional<int>> ask(const Directories& directories, const std::string& id,
                               const std::string& frame) {
  const UniqueFd fd = TRY(connect_to_monitor(directories, id));
  return ask_on(fd.get(), frame);
}

// What remains until the deadline, for poll(2).
class Deadline {
 public:
  explicit Deadline(std::optional<std::chrono::milliseconds> timeout) {
    if (timeout) end_ = Clock::now() + *timeout;
  }
  [[nodiscard]] int left() const {
    if (!end_) return -1;
    constexpr int64_t kLongest = 1 << 30;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*end_ - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, kLongest));
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> end_;
};

// The numbers that the monitor is told.
constexpr int kSyncNumber = 3;
constexpr int kGoNumber = 4;
constexpr int kGivenNumber = 5;

// Above the numbers that posix_spawn replaces.
Result<UniqueFd> lift(int fd) {
  UniqueFd lifted(fcntl(fd, F_DUPFD_CLOEXEC, kGivenNumber + 1));
  if (!lifted) return fail_errno("fcntl F_DUPFD_CLOEXEC");
  return lifted;
}

}  // namespace

Result<int> request_stop(const Directories& directories, const std::string& id,
                         const StopRequest& request) {
  const auto code = TRY(ask(directories, id, make_frame(request)));
  if (!code) return fail(ErrorCode::kCorrupt, "the monitor gave no exit code");
  return *code;
}

Result<> request_signal(const Directories& directories, const std::string& id, int signal) {
  TRY(ask(directories, id, make_frame(Frame::kSignal, signal)));
  return {};
}

Result<> request_pause(const Directories& directories, const std::string& id) {
  TRY(ask(directories, id, make_frame(Frame::kPause)));
  return {};
}

Result<> request_resume(const Directories& directories, const std::string& id) {
  TRY(ask(directories, id, make_frame(Frame::kResume)));
  return {};
}

Result<> request_start(int connection, const StartRequest& request) {
  // The container ended first: kExit instead of an answer.
  const auto ended = TRY(ask_on(connection, make_frame(request)));
  return ended ? fail(ErrorCode::kNotFound, "the container has ended") : Result<>();
}

Result<UniqueFd> watch_container(const Directories& directories, const std::string& id) {
  return connect_to_monitor(directories, id);
}

Result<std::optional<int>> wait_for_exit(const Directories& directories, const std::string& id,
                                         std::optional<std::chrono::milliseconds> timeout,
                                         const std::stop_token& stop) {
  const UniqueFd fd = TRY(connect_to_monitor(directories, id));
  const StopFd stop_fd(stop);
  const Deadline deadline(timeout);
  Buffer buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    std::array<pollfd, 2> fds{pollfd{.fd = fd.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = stop_fd.get(), .events = POLLIN, .revents = 0}};
    const int count = ::poll(fds.data(), fds.size(), deadline.left());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("poll");
    if (fds[0].revents == 0) return std::nullopt;
    const auto message = TRY(receive_frame(fd.get(), buffer.data(), buffer.size()));
    if (!message) return fail(ErrorCode::kSystem, "the container's monitor has gone");
    if (message->type == Frame::kExit) return TRY(read_number(message->payload));
  }
}

void reap_later(pid_t monitor) {
  static std::mutex mutex;
  static std::vector<pid_t> children;
  const std::scoped_lock lock(mutex);
  std::erase_if(children, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; });
  children.push_back(monitor);
}

std::vector<std::string> words_of(const MonitorStart& start) {
  std::vector<std::string> words{
      "--data", start.directories.data, "--state", start.directories.state, "--id", start.id};
  if (start.hold) words.insert(words.end(), {"--hold", "yes"});
  if (start.own_network) words.insert(words.end(), {"--own-network", "yes"});
  return words;
}

Result<MonitorStarting> spawn_monitor(const MonitorStart& start) {
  Pipe sync = TRY(make_pipe());
  AttachPair go = TRY(make_attach_pair());
  const UniqueFd sync_end = TRY(lift(sync.write_end.get()));
  const UniqueFd go_end = TRY(lift(go.monitor.get()));
  std::vector<std::string> argv = words_of(start);
  argv.insert(argv.begin(), start.program);
  argv.insert(argv.end(), {"--sync-fd", fmt::format("{}", kSyncNumber), "--go-fd",
                           fmt::format("{}", kGoNumber)});
  std::vector<InheritedFd> inherited{{.fd = sync_end.get(), .number = kSyncNumber},
                                     {.fd = go_end.get(), .number = kGoNumber}};
  UniqueFd given_end;
  if (start.given_fd >= 0) {
    given_end = TRY(lift(start.given_fd));
    inherited.push_back({.fd = given_end.get(), .number = kGivenNumber});
    argv.insert(argv.end(), {"--given-fd", fmt::format("{}", kGivenNumber)});
  }
  reap_later(TRY(spawn_in_session(start.program, argv, inherited)));
  return MonitorStarting(std::move(sync.read_end), std::move(go.client));
}

Result<> MonitorStarting::go() {
  const UniqueFd fd = std::move(go_);
  auto told = send_frame(fd.get(), "g");
  // One that has ended already is found out by wait().
  if (!told && told.error().errnum() != EPIPE) return told;
  return {};
}

Result<pid_t> MonitorStarting::wait() {
  return parse_started(TRY(read_fd(sync_.get(), "the monitor's answer")));
}

Result<pid_t> start_monitor(const MonitorStart& start) {
  MonitorStarting starting = TRY(spawn_monitor(start));
  TRY(starting.go());
  return starting.wait();
}

}  // namespace trivet::monitor
