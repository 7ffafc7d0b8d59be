#include "runtime/machine.h"

#include <algorithm>
#include <csignal>
#include <thread>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "copy/stream.h"
#include "payload/microvm/control.h"
#include "runtime/copy.h"

namespace trivet::runtime {

namespace {

using payload::microvm::Control;

// A file system that a guest has written is for a kernel of its own: on the host it would be read
// by the one that everything depends on.
Result<> require_files(const Observed& observed) {
  if (observed.init_alive) return {};
  return std::unexpected(
      Error(ErrorCode::kWrongState,
            fmt::format(
                "container \"{}\" is not running, and only its virtual machine reads the disk "
                "with its files",
                observed.record.name))
          .hint(fmt::format("start it: trivet start {}; or keep such files in a volume",
                            observed.record.name)));
}

Result<Control> connect(const Observed& observed) {
  TRY(require_running(observed));
  if (observed.state == ContainerStatus::kPaused) {
    return std::unexpected(
        Error(
            ErrorCode::kWrongState,
            fmt::format("container \"{}\" is paused: its guest can't answer", observed.record.name))
            .hint(fmt::format("unpause it: trivet unpause {}", observed.record.name)));
  }
  return Control::connect(observed.status.init);
}

// The conversation with the guest is pushed by one thread into a pipe and pulled by another. Who
// pushes learns by EPIPE that the other has given up, not by a signal that ends the process.
void block_sigpipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// Both have failed: the one that did not only find the pipe closed has the cause.
Result<> cause_of(Result<> here, Result<> there) {
  if (here || (!there && here.error().errnum() == EPIPE)) return there;
  return here;
}

std::string absolute(const std::string& path) {
  return path.starts_with('/') ? path : "/" + path;
}

Result<> check_path(const std::string& path) {
  if (!path.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, "a path in the container is needed");
}

}  // namespace

Result<> read_machine_stats(const Observed& observed, ContainerStats& stats) {
  Control control = TRY(connect(observed));
  const guest::Stats now = TRY(control.stats());
  stats.cpu_usage_ns = now.cpu_usage_ns;
  stats.memory_usage = now.memory_usage;
  stats.memory_limit =
      now.memory_limit == 0 ? now.memory_total : std::min(now.memory_limit, now.memory_total);
  stats.pids = now.pids;
  stats.pids_limit = now.pids_limit;
  stats.block_read = now.block_read;
  stats.block_write = now.block_write;
  stats.net_rx = now.net_rx;
  stats.net_tx = now.net_tx;
  return {};
}

Result<std::vector<std::vector<std::string>>> machine_top(const Observed& observed) {
  constexpr int64_t kSecond = 1000;
  Control control = TRY(connect(observed));
  std::vector<std::vector<std::string>> rows{{"UID", "PID", "PPID", "STATE", "TIME", "COMMAND"}};
  for (const auto& process : TRY(control.processes())) {
    const int64_t seconds = process.time_ms / kSecond;
    rows.push_back(
        {std::to_string(process.uid), std::to_string(process.pid), std::to_string(process.ppid),
         process.state,
         fmt::format("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
         process.command});
  }
  return rows;
}

Result<> copy_out_of_machine(const Observed& observed, const std::string& path,
                             const std::string& host_path) {
  TRY(check_path(path));
  TRY(require_files(observed));
  Control control = TRY(connect(observed));
  const guest::CopyRequest request{.path = absolute(path)};
  if (host_path == "-") return control.copy_out(request, copy::sink_to(STDOUT_FILENO));
  Pipe pipe = TRY(make_pipe());
  Result<> sent;
  std::jthread sender([&] {
    block_sigpipe();
    sent = control.copy_out(request, copy::sink_to(pipe.write_end.get()));
    pipe.write_end.reset();
  });
  const copy::Side to{.root = {}, .path = host_path, .label = host_path};
  Result<> received = copy::receive_copy(
      copy::source_from(pipe.read_end.get()), path, to,
      {.owner = std::pair(geteuid(), getegid()), .trust = copy::UnpackOptions::Trust::kHostile});
  pipe.read_end.reset();
  sender.join();
  // A guest that could not send leaves an empty stream: its words say why.
  return sent ? received : cause_of(std::move(sent), std::move(received));
}

Result<> copy_into_machine(const Observed& observed, const std::string& host_path,
                           const std::string& path) {
  TRY(check_path(path));
  TRY(require_files(observed));
  Control control = TRY(connect(observed));
  const bool is_stream = host_path == "-";
  const guest::CopyRequest request{.path = absolute(path), .source = is_stream ? "" : host_path};
  Pipe pipe = TRY(make_pipe());
  const auto pull_from = [](int fd) -> Control::Source {
    return [fd]() -> Result<std::string> {
      std::string chunk(64U << 10U, '\0');
      ssize_t count = 0;
      do {
        count = ::read(fd, chunk.data(), chunk.size());
      } while (count < 0 && errno == EINTR);
      if (count < 0) return fail_errno("read what is to be copied");
      chunk.resize(static_cast<size_t>(count));
      return chunk;
    };
  };
  Result<> read;
  std::jthread reader([&] {
    block_sigpipe();
    const copy::Sink sink = copy::sink_to(pipe.write_end.get());
    const copy::Side from{.root = {}, .path = host_path, .label = host_path};
    read = is_stream ? forward_tar(STDIN_FILENO, sink) : copy::send_copy(from, sink);
    pipe.write_end.reset();
  });
  Result<> taken = control.copy_in(request, pull_from(pipe.read_end.get()));
  pipe.read_end.reset();
  reader.join();
  // What could not be read on the host is the cause, whatever the guest made of half a stream.
  return read ? taken : cause_of(std::move(read), std::move(taken));
}

}  // namespace trivet::runtime
