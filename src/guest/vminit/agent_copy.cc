// The agent's part that copies files: a process of its own for each copy, since it may take long.
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "copy/stream.h"
#include "guest/vminit/agent.h"

namespace trivet::guest {

namespace {

// The numbers of what a copy's process keeps.
constexpr int kData = 0;
constexpr int kReport = 2;
constexpr int kRoot = 3;

Result<> copy_out(const copy::Side& side) {
  return copy::send_copy(side, copy::sink_to(kData));
}

// What is made belongs to root, but a tar stream has owners of its own, and its paths are those of
// the container: a parent may be a symlink there.
Result<> copy_in(const copy::Side& side, const std::string& source) {
  using Options = copy::UnpackOptions;
  const copy::Source bytes = copy::source_from(kData);
  if (source.empty()) {
    return copy::receive_tar(bytes, side,
                             {.owner = std::nullopt,
                              .trust = Options::Trust::kTrusted,
                              .parents = Options::Parents::kFollowed});
  }
  return copy::receive_copy(bytes, source, side,
                            {.owner = std::pair(uid_t{0}, gid_t{0}),
                             .trust = Options::Trust::kTrusted,
                             .parents = Options::Parents::kMadeByStream});
}

struct CopyDescriptors {
  int data = -1;
  int report = -1;
  int root = -1;
  int mounts = -1;  // the container's mount namespace
};

// In the child. It joins the container's mounts: from outside, replacing a file that is a mount
// point in there (/etc/hosts) would take the mount away. Nothing else of the agent's stays open:
// the streams of other sessions would not end.
[[noreturn]] void run_copy(const CopyDescriptors& fds, const CopyRequest& request, bool in) {
  // It is no part of the container, whose memory may run out meanwhile.
  (void)write_existing(AT_FDCWD, "/proc/self/oom_score_adj", "-1000");
  const bool joined = ::setns(fds.mounts, CLONE_NEWNS) == 0;
  (void)::dup2(fds.data, kData);
  (void)::dup2(fds.report, kReport);
  (void)::dup2(fds.root, kRoot);
  (void)::syscall(SYS_close_range, kRoot + 1, ~0U, 0);
  const copy::Side side{.root = UniqueFd(kRoot), .path = request.path, .label = request.path};
  Result<> done = std::unexpected(Error(ErrorCode::kSystem, "can't join the container's mounts"));
  if (joined) done = in ? copy_in(side, request.source) : copy_out(side);
  if (!done) {
    const std::string text = print_error(done.error());
    (void)!::write(kReport, text.data(), text.size());
  }
  ::_exit(done ? 0 : 1);
}

}  // namespace

Result<> Agent::copy(const Frame& frame, Kind kind) {
  const uint32_t id = frame.session;
  TRY(check_new(id));
  if (conversations_.size() >= kMaxSessions) {
    send_failure(id, Error(ErrorCode::kLimitExceeded, "too many things are done at once"));
    return {};
  }
  const auto request = parse_copy(frame.payload);
  Session& session = add_session(id, kind);
  const Result<> begun = request
                             ? begin_copy(find_container(frame.container), session, kind, *request)
                             : std::unexpected(request.error());
  if (begun) {
    session.open_streams();
  } else {
    send_failure(id, begun.error());
    conversations_.erase(id);
  }
  return {};
}

Result<> Agent::begin_copy(const container::Container* container, Session& session, Kind kind,
                           const CopyRequest& request) {
  if (container == nullptr || container->status() == container::Status::kStopped) {
    return fail(ErrorCode::kWrongState, "container not running");
  }
  const pid_t init = container->init().pid;
  const UniqueFd root = TRY(open_file(fmt::format("/proc/{}/root", init), O_PATH | O_DIRECTORY));
  const UniqueFd mounts = TRY(open_file(fmt::format("/proc/{}/ns/mnt", init), O_RDONLY));
  ProgramPipes pipes = TRY(make_program_pipes());
  Pipe report = TRY(make_pipe());
  const bool in = kind == Kind::kCopyIn;
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    run_copy({.data = in ? pipes.in.get() : pipes.out.get(),
              .report = report.write_end.get(),
              .root = root.get(),
              .mounts = mounts.get()},
             request, in);
  }
  StreamEnds ends;
  (in ? ends.in : ends.out) = std::move(in ? pipes.ours.in : pipes.ours.out);
  session.attach(pid, std::move(ends));
  conversations_[session.id()].report = std::move(report.read_end);
  return {};
}

// What the process said about its failure is short and lies in the pipe.
void Agent::finish_copy(const Conversation& conversation, uint32_t id) {
  const int code = conversation.session->exit_code();
  if (code == 0 && conversation.kind == Kind::kCopyIn) return answer(id, Result<>());
  if (code == 0) return port_.send(make_exit(id, {}));
  const auto text = read_fd(conversation.report.get(), "the report of a copy", kMaxAnswer);
  if (text && !text->empty()) return port_.send(make_frame(FrameType::kFailed, id, *text));
  send_failure(id, Error(ErrorCode::kCanceled, "the copy was ended"));
}

}  // namespace trivet::guest
