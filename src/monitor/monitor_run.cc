// The container's life under its monitor: start, output, end, restart.
#include <algorithm>
#include <array>
#include <csignal>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/rollback.h"
#include "monitor/attach.h"
#include "monitor/memory.h"
#include "monitor/monitor.h"
#include "monitor/restart.h"
#include "monitor/terminal.h"
#include "monitor/vm_network.h"
#include "oci/mount.h"
#include "payload/microvm/control.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/template_store.h"

namespace trivet::monitor {

namespace {

// A frame's type byte and the data behind it, so that what was read is sent without a copy.
struct OutputBuffer {
  char type = 0;
  std::array<char, kMaxPayload> data;
};
static_assert(sizeof(OutputBuffer) == kMaxFrame);

OutputBuffer& output_buffer() {
  static OutputBuffer buffer;
  return buffer;
}

Result<> set_nonblocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
    return fail_errno("fcntl O_NONBLOCK");
  return {};
}

// The container's ends of its three streams.
struct ChildStreams {
  UniqueFd in;
  UniqueFd out;
  UniqueFd err;
};

// A pipe for output: our end does not block and holds more, so that both sides switch less often.
Result<Pipe> make_output_pipe() {
  constexpr int kPipeSize = 256 << 10;
  Pipe pipe = TRY(make_pipe());
  TRY(set_nonblocking(pipe.read_end.get()));
  (void)fcntl(pipe.read_end.get(), F_SETPIPE_SZ, kPipeSize);
  return pipe;
}

// Pipes, or /dev/null where there is nothing to be carried: with a terminal the engine makes the
// pty.
Result<ChildStreams> make_streams(const Record& record, UniqueFd& to_stdin, UniqueFd& from_stdout,
                                  UniqueFd& from_stderr) {
  ChildStreams streams;
  if (record.interactive && !record.terminal) {
    Pipe in = TRY(make_pipe());
    TRY(set_nonblocking(in.write_end.get()));
    to_stdin = std::move(in.write_end);
    streams.in = std::move(in.read_end);
  } else {
    streams.in = TRY(open_file("/dev/null", O_RDONLY));
  }
  if (record.terminal) {
    streams.out = TRY(open_file("/dev/null", O_WRONLY));
    streams.err = TRY(open_file("/dev/null", O_WRONLY));
    return streams;
  }
  Pipe out = TRY(make_output_pipe());
  Pipe err = TRY(make_output_pipe());
  from_stdout = std::move(out.read_end);
  from_stderr = std::move(err.read_end);
  streams.out = std::move(out.write_end);
  streams.err = std::move(err.write_end);
  return streams;
}

// A path is one of the file system; what the user's systemd makes is :PREFIX:NAME.
cgroup::Driver cgroup_driver_of(const oci::Spec& spec) {
  const bool scope = spec.linux_config->cgroups_path.starts_with(':');
  return scope ? cgroup::Driver::kSystemd : cgroup::Driver::kCgroupfs;
}

// Whether a mount namespace has nothing of the host but what is below `data`, and never gets more.
bool mounts_only(const std::string& data, const oci::Spec& spec,
                 const container::OverlayRoot& root) {
  const auto& powers = spec.process->capabilities;
  if (powers && std::ranges::find(powers->bounding, "CAP_SYS_ADMIN") != powers->bounding.end()) {
    return false;
  }
  const auto is_below = [&](const std::string& path) { return path.starts_with(data + "/"); };
  return std::ranges::all_of(root.lower_directories, is_below) &&
         std::ranges::all_of(spec.mounts, [&](const oci::Mount& mount) {
           return !oci::is_bind(mount) || is_below(mount.source);
         });
}

// Whether nothing that others could notice is left of a container when its init has ended: neither
// processes nor hooks to be run.
bool ends_with_init(const oci::Spec& spec) {
  const auto& namespaces = spec.linux_config->namespaces;
  const auto pid = std::ranges::find(namespaces, oci::NamespaceType::kPid, &oci::Namespace::type);
  return pid != namespaces.end() && pid->path.empty() && spec.hooks.poststop.empty();
}

// The kernel takes down what is mounted in a namespace before its last process has ended for its
// parent. With the namespace kept that is done when everybody has heard of the end.
UniqueFd keep_mounts(pid_t init) {
  return open_file(fmt::format("/proc/{}/ns/mnt", init), O_RDONLY).value_or(UniqueFd());
}

Result<> join_namespaces(const std::vector<JoinedNamespace>& joined, oci::Spec& spec) {
  for (const JoinedNamespace& join : joined) {
    const auto found =
        std::ranges::find(spec.linux_config->namespaces, join.type, &oci::Namespace::type);
    if (found == spec.linux_config->namespaces.end()) {
      return fail(ErrorCode::kCorrupt, "config.json: there is no {} namespace to be the pod's",
                  oci::namespace_name(join.type));
    }
    found->path = join.path;
  }
  return {};
}

}  // namespace

Result<> Monitor::create() {
  auto created = create_life();
  if (!created && came_from_bad_template(created.error())) created = create_life();
  if (!created) note_failed_start(created.error());
  return created;
}

Result<> Monitor::start() {
  auto started = start_life();
  if (!started && came_from_bad_template(started.error())) {
    started = create_life();
    if (started) started = start_life();
  }
  if (!started) note_failed_start(started.error());
  return started;
}

// The container and its network are made side by side.
Result<> Monitor::create_life() {
  life_ = Life{};
  if (auto created = create_container(*life_); !created) {
    return abandon(std::move(created).error());
  }
  return {};
}

Result<> Monitor::start_life() {
  if (auto started = life_->container->start(); !started) {
    return abandon(std::move(started).error());
  }
  note_running();
  TRY(watch_init());
  return watch_life();
}

void Monitor::note_running() {
  life_->begun = EventLoop::Clock::now();
  status_.phase = Phase::kRunning;
  status_.init = life_->container->init();
  status_.pasta = life_->pasta.value_or(ProcessId{});
  status_.started = std::chrono::system_clock::now();
  status_.finished.reset();
  status_.oom_killed = false;
  status_.error.clear();
  save_status();
}

// What is left of a start that failed.
std::unexpected<Error> Monitor::abandon(Error cause) {
  if (life_->container) {
    if (auto removed = life_->container->remove(container::Container::Force::kYes); !removed) {
      cause = std::move(cause).note(removed.error());
    }
  }
  if (life_->pasta) (void)net::stop_pasta(*life_->pasta);
  life_.reset();
  return std::unexpected(std::move(cause));
}

// A saved machine that does not come back is of no use to anybody: from now on they boot, and save
// a new one.
bool Monitor::came_from_bad_template(const Error& error) {
  if (error.code() != ErrorCode::kCorrupt || options_.seat != nullptr || !status_.vm ||
      !status_.vm->from_template) {
    return false;
  }
  const std::string directory = payload::microvm::vm_directory(options_.directories.data);
  (void)payload::microvm::clear_templates(directory);
  boots_ = true;
  return true;
}

Result<> Monitor::create_container(Life& life) {
  const std::string bundle = options_.directories.container(options_.id);
  const std::string config = TRY(read_file(bundle + "/config.json"));
  oci::Spec spec = TRY_IN(oci::parse_spec(config), "config.json");
  TRY(join_namespaces(options_.joined, spec));
  if (is_machine(record_) && !options_.joined.empty()) {
    net::PasstNetwork network = TRY(
        join_pod({.network_namespace = options_.joined.front().path,
                  .directory = fmt::format("{}/pods/{}", options_.directories.data, record_.pod)},
                 spec));
    life.pasta = network.process;
    life.vm_network = std::move(network.socket);
  }
  const ChildStreams streams =
      TRY(make_streams(record_, life.to_stdin, life.from_stdout, life.from_stderr));
  std::optional<net::PastaStart> pasta;
  container::CreateOptions create{.state_root = options_.directories.engine(),
                                  .id = options_.id,
                                  .bundle = bundle,
                                  .overlay = record_.overlay,
                                  .stdio = {.stdin_fd = streams.in.get(),
                                            .stdout_fd = streams.out.get(),
                                            .stderr_fd = streams.err.get()},
                                  .seccomp_cache = options_.directories.data + "/seccomp",
                                  .config_json = config,
                                  .start_by = container::CreateOptions::StartBy::kCreator};
  if (record_.init) create.signals_at_start = container::CreateOptions::SignalsAtStart::kBlocked;
  create.cgroup_driver = cgroup_driver_of(spec);
  const bool is_vm = is_machine(record_);
  if (record_.network == net::Mode::kPasta && !is_vm) {
    create.on_namespaces = [&](pid_t pid) -> Result<> {
      pasta.emplace(TRY(net::spawn_pasta(pid, {.ports = record_.ports})));
      return {};
    };
  }
  const UniqueFd network = std::move(options_.network);
  create.network_namespace = network.get();
  TRY(prepare_payload(spec, bundle, life));
  if (life.payload) create.program = &life.payload->program;
  if (life.payload && life.payload->overlay) create.overlay = life.payload->overlay;
  if (life.payload && life.payload->own_root) create.overlay.reset();
  const bool discarded = record_.remove && record_.restart == RestartKind::kNo;
  if (create.overlay) create.overlay->discarded = discarded;
  const oci::Spec& used = life.payload ? life.payload->spec : spec;
  life.container = TRY(container::Container::create(used, create));
  life.ends_with_init = discarded && ends_with_init(used);
  if (create.overlay && discarded &&
      mounts_only(options_.directories.data, used, *create.overlay)) {
    life.mounts = keep_mounts(life.container->init().pid);
  }
  if (pasta) life.pasta = TRY(pasta->wait());
  life.vm_network.reset();  // the machine has its own
  note_vm_boot(life);
  if (record_.terminal) TRY(take_terminal(life));
  return {};
}

Result<> Monitor::take_terminal(Life& life) {
  life.from_stdout = life.container->take_console();
  TRY(set_nonblocking(life.from_stdout.get()));
  life.to_stdin = UniqueFd(fcntl(life.from_stdout.get(), F_DUPFD_CLOEXEC, 0));
  if (!life.to_stdin) return fail_errno("fcntl F_DUPFD_CLOEXEC");
  if (window_) TRY(set_terminal_size(life.from_stdout.get(), *window_));
  return {};
}

Result<> Monitor::watch_init() {
  return loop_.watch(life_->container->init_pidfd(), EPOLLIN, [this](uint32_t) { init_ended(); });
}

Result<> Monitor::watch_life() {
  TRY(watch_memory());
  life_->output_paused = true;
  resume_output();
  write_input();
  // Most containers that live longer than this live much longer. The others do not wait for it.
  constexpr std::chrono::milliseconds kSettled{500};
  settle_in(kSettled);
  if (!record_.timeout_ms || status_.restart_count != 0) return {};
  loop_.set_timer(
      Timer::kTimeout, std::chrono::milliseconds(*record_.timeout_ms),
      [this] {
        timed_out_ = true;
        (void)request_stop(0, std::nullopt);
      },
      this);
  return {};
}

void Monitor::settle_in(std::chrono::milliseconds delay) {
  loop_.set_timer(Timer::kTrim, delay, [this] { settle(); }, this);
}

// Lets go of what only the start or the last life needed. To close a mount, as that of a payload's
// program is, takes the kernel a while.
void Monitor::settle() {
  past_.reset();
  if (life_) life_->payload.reset();
  give_memory_back();
}

// systemd removes a scope as soon as its last process has gone, and with it what could be read at
// the end.
Result<> Monitor::watch_memory() {
  const cgroup::Cgroup* cgroup = life_->container->cgroup();
  if (cgroup == nullptr || !cgroup->is_scope()) return {};
  life_->oom = TRY(cgroup->watch_oom());
  if (!life_->oom) return {};
  return loop_.watch(life_->oom.get(), EPOLLIN, [this](uint32_t) {
    std::array<char, 512> events{};
    (void)!::read(life_->oom.get(), events.data(), events.size());
    if (life_->container->cgroup()->oom_kills().value_or(0) > 0) status_.oom_killed = true;
  });
}

void Monitor::resume_output() {
  if (!life_ || !life_->output_paused || foreground_waits()) return;
  life_->output_paused = false;
  for (const auto& [fd, stream] : {std::pair(life_->from_stdout.get(), Stream::kStdout),
                                   std::pair(life_->from_stderr.get(), Stream::kStderr)}) {
    if (fd < 0) continue;
    (void)loop_.watch(fd, EPOLLIN, [this, which = stream](uint32_t) { handle_output(which); });
  }
}

// Taken out of the loop altogether: a pipe without writers is always "ready".
void Monitor::pause_output() {
  if (life_->output_paused) return;
  life_->output_paused = true;
  loop_.forget(life_->from_stdout.get());
  loop_.forget(life_->from_stderr.get());
}

void Monitor::handle_output(Stream stream) {
  UniqueFd& from = stream == Stream::kStdout ? life_->from_stdout : life_->from_stderr;
  if (!read_output(from, stream)) {
    loop_.forget(from.get());
    from.reset();
    finish_if_drained();
    return;
  }
  if (foreground_waits()) pause_output();
}

// One read, one write to the log, one send to each client. False at the end.
bool Monitor::read_output(UniqueFd& from, Stream stream) {
  OutputBuffer& buffer = output_buffer();
  const ssize_t count = ::read(from.get(), buffer.data.data(), buffer.data.size());
  if (count < 0) return errno == EAGAIN || errno == EINTR;
  if (count == 0) return false;
  const auto length = static_cast<size_t>(count);
  const auto now = std::chrono::system_clock::now();
  if (auto logged = log_->append(stream, {buffer.data.data(), length}, now);
      !logged && status_.error.empty()) {
    status_.error = "log: " + logged.error().message();
  }
  buffer.type = static_cast<char>(stream == Stream::kStdout ? Frame::kStdout : Frame::kStderr);
  broadcast({&buffer.type, length + 1}, true);
  return true;
}

void Monitor::init_ended() {
  loop_.forget(life_->container->init_pidfd());
  if (life_->oom) loop_.forget(life_->oom.get());
  life_->exit_code = reap_child(life_->container->init_pidfd()).value_or(255);
  life_->init_ended = true;
  loop_.clear_timer(Timer::kGrace, this);
  if (waits_) waiting_ended();
  // Without waiting: it takes a while to go, and what else there is to do does not need it.
  if (life_->pasta) (void)net::stop_pasta(*life_->pasta, net::StopWait::kAsync);
  drain_for(std::chrono::milliseconds(2000));
  finish_if_drained();
}

// With a pid namespace of its own all its processes are gone, and the pipes are at their end.
// Otherwise one that was left behind may keep them open: then they are given up.
void Monitor::drain_for(std::chrono::milliseconds patience) {
  loop_.set_timer(
      Timer::kDrain, patience,
      [this, patience] {
        if (foreground_waits()) return drain_for(patience);  // there is more to read
        pause_output();
        life_->from_stdout.reset();
        life_->from_stderr.reset();
        finish_if_drained();
      },
      this);
}

void Monitor::finish_if_drained() {
  if (life_ && life_->init_ended && !life_->from_stdout && !life_->from_stderr) end_life();
}

void Monitor::end_life() {
  loop_.clear_timer(Timer::kDrain, this);
  close_input();
  past_ = std::move(life_);
  life_.reset();
  Life& ended = *past_;
  if (const cgroup::Cgroup* cgroup = ended.container->cgroup()) {
    if (cgroup->oom_kills().value_or(0) > 0) status_.oom_killed = true;
  }
  note_report(ended);
  if (ended.ends_with_init) {
    remains_ = std::move(ended.container);
  } else if (auto removed = ended.container->remove(container::Container::Force::kYes); !removed) {
    status_.error = removed.error().message();
  }
  if (ended.pasta) {
    // The published ports must be free again before anybody hears of the end.
    if (!record_.ports.empty()) (void)net::stop_pasta(*ended.pasta);
    strays_ = {*ended.pasta};
  }
  status_.exit_code = timed_out_ ? 124 : ended.exit_code;
  status_.finished = std::chrono::system_clock::now();
  status_.init = {};
  status_.pasta = {};
  settle_in(std::chrono::milliseconds(0));
  restart_or_stop(ended);
}

void Monitor::restart_or_stop(const Life& ended) {
  const bool again = should_restart(record_.restart, record_.restart_retries,
                                    {.exit_code = status_.exit_code,
                                     .restarts = status_.restart_count,
                                     .stopped_by_user = status_.stopped_by_user,
                                     .timed_out = timed_out_});
  if (!again) {
    return end_for_good();
  }
  const auto ran_for =
      std::chrono::duration_cast<std::chrono::milliseconds>(EventLoop::Clock::now() - ended.begun);
  backoff_ = next_backoff(backoff_, ran_for);
  status_.phase = Phase::kRestarting;
  save_status();
  loop_.set_timer(Timer::kRestart, backoff_, [this] { relaunch(); }, this);
  if (options_.on_exit) options_.on_exit(status_.exit_code);
}

void Monitor::relaunch() {
  ++status_.restart_count;
  auto started = create();
  if (started) started = start();
  if (!started) return end_for_good();
  if (options_.on_restarted) options_.on_restarted();
}

void Monitor::end_for_good() {
  status_.phase = Phase::kExited;
  if (options_.on_ended) options_.on_ended();
}

Result<> Monitor::request_stop(int signal, std::optional<std::chrono::milliseconds> grace) {
  if (waits_) {
    end_waiting();
    return {};
  }
  status_.stopped_by_user = !timed_out_;
  if (!life_) {  // between two starts, or at its end
    loop_.clear_timer(Timer::kRestart, this);
    if (status_.phase == Phase::kRestarting) end_for_good();
    return {};
  }
  return end_by(signal, grace.value_or(std::chrono::milliseconds(record_.stop_timeout_ms)));
}

Result<> Monitor::end_for_restart(std::chrono::milliseconds grace) {
  if (!life_) return {};
  return end_by(0, grace);
}

Result<> Monitor::end_by(int signal, std::chrono::milliseconds patience) {
  if (life_->init_ended) return {};
  if (patience.count() == 0) {
    kill_everything();
    return {};
  }
  if (status_.phase == Phase::kPaused) TRY(resume());
  TRY(life_->container->kill(signal == 0 ? record_.stop_signal : signal));
  loop_.set_timer(Timer::kGrace, patience, [this] { kill_everything(); }, this);
  return {};
}

void Monitor::kill_everything() {
  if (!life_ || life_->init_ended) return;
  (void)life_->container->kill(SIGKILL);
}

Result<> Monitor::forward_signal(int signal) {
  if (!life_ || life_->init_ended || waits_) {
    return fail(ErrorCode::kWrongState, "the container is not running");
  }
  // Whoever ends it by hand does not want it back.
  if (signal == SIGKILL || signal == record_.stop_signal) status_.stopped_by_user = true;
  return life_->container->kill(signal);
}

Result<> Monitor::pause() {
  if (!life_ || status_.phase != Phase::kRunning) {
    return fail(ErrorCode::kWrongState, "the container is {}, not running",
                phase_name(status_.phase));
  }
  // In a pod's machine the container is there, and what stands for it here.
  if (options_.seat != nullptr) {
    TRY(TRY(payload::microvm::Control::connect(life_->container->init())).freeze());
  }
  TRY(life_->container->pause());
  status_.phase = Phase::kPaused;
  return write_status(options_.directories, options_.id, status_);
}

Result<> Monitor::resume() {
  if (!life_ || status_.phase != Phase::kPaused) {
    return fail(ErrorCode::kWrongState, "the container is {}, not paused",
                phase_name(status_.phase));
  }
  TRY(life_->container->resume());
  if (options_.seat != nullptr) {
    TRY(TRY(payload::microvm::Control::connect(life_->container->init())).thaw());
  }
  status_.phase = Phase::kRunning;
  return write_status(options_.directories, options_.id, status_);
}

}  // namespace trivet::monitor
