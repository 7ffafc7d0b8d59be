// pasta(1) as a foreground child: its --pid is a pipe, so that the pid it writes once it is ready
// wakes us up, and nothing has to be found out about a daemon. Its descriptors 0, 1 and 2 are the
// namespace, that pipe and its messages: newer versions close all others at once but that of --fd,
// and with it all above 0 when it is 0, so passt's socket is 3.
#include <array>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/socket_pair.h"
#include "base/text.h"
#include "linux/network_visit.h"
#include "net/network.h"
#include "net/pod_network.h"
#include "net/routes.h"
#if defined(__x86_64__)
#include <sys/platform/x86.h>
#endif

namespace trivet::net {

namespace {

constexpr int kPasstSocket = STDERR_FILENO + 1;
constexpr const char* kNobody = "65534";

// What libc has found out already. Were the compiler's __builtin_cpu_supports asked, every program
// with this file in it would ask the processor anew when it starts, which a virtual machine answers
// slowly.
bool has_avx2() {
#if defined(__x86_64__)
  return CPU_FEATURE_ACTIVE(AVX2);
#else
  return false;
#endif
}

// The variant for this processor is run directly: plain pasta would only execute it, which costs
// 2 ms.
Result<std::string> find_program(const std::string& program) {
  const char* path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  std::vector<std::string> names{program};
  if (has_avx2()) names.insert(names.begin(), program + ".avx2");
  for (const std::string& directory :
       split(path != nullptr && *path != '\0' ? path : "/usr/local/bin:/usr/bin:/bin", ':')) {
    if (!directory.starts_with('/')) continue;
    for (const std::string& name : names) {
      std::string candidate = fmt::format("{}/{}", directory, name);
      if (access(candidate.c_str(), X_OK) == 0) return candidate;
    }
  }
  return std::unexpected(
      Error(ErrorCode::kUnsupported,
            fmt::format("the network \"pasta\" needs the program {}, which is not installed",
                        program))
          .hint("install the package passt, or use --network none or --network host"));
}

void add_ports(std::vector<std::string>& argv, const std::vector<PortMapping>& ports,
               const std::string& protocol, const char* option) {
  bool any = false;
  for (const PortMapping& port : ports) {
    if (port.protocol != protocol) continue;
    any = true;
    argv.insert(argv.end(),
                {option, fmt::format("{}{}{}:{}", port.host_ip, port.host_ip.empty() ? "" : "/",
                                     port.host_port, port.container_port)});
  }
  if (!any) argv.insert(argv.end(), {option, "none"});
}

std::vector<std::string> pasta_arguments(const std::string& program, const PastaOptions& options) {
  std::vector<std::string> argv{
      program,       "--config-net", "--quiet",         "--foreground", "--no-map-gw",
      "--tcp-ns",    "none",         "--udp-ns",        "none",         "--dns-forward",
      kDnsForwarder, "--pid",        "/proc/self/fd/1", "--netns",      "/proc/self/fd/0"};
  // It would become nobody, and then can't enter the namespace.
  if (geteuid() == 0) argv.insert(argv.end(), {"--runas", "0"});
  if (!options.log_file.empty()) argv.insert(argv.end(), {"--log-file", options.log_file});
  add_ports(argv, options.ports, "tcp", "--tcp-ports");
  add_ports(argv, options.ports, "udp", "--udp-ports");
  if (host_address().empty()) {
    // pasta refuses a host without a route unless it gets everything that it would take from there.
    argv.insert(argv.end(), {"--ipv4-only", "--interface", "lo", "--ns-ifname", "eth0", "--address",
                             kIsolatedAddress, "--netmask", "24", "--gateway", "169.254.2.2",
                             "--mac-addr", "02:00:00:00:00:01"});
  }
  return argv;
}

void add_identity(std::vector<std::string>& argv) {
  if (geteuid() == 0) argv.insert(argv.end(), {"--runas", kNobody});
}

void add_all_ports(std::vector<std::string>& argv, const std::vector<PortMapping>& ports) {
  add_ports(argv, ports, "tcp", "--tcp-ports");
  add_ports(argv, ports, "udp", "--udp-ports");
}

std::vector<std::string> basic_passt_arguments(const std::string& program) {
  return {program,
          "--quiet",
          "--foreground",
          "--pid",
          "/proc/self/fd/1",
          "--fd",
          fmt::format("{}", kPasstSocket),
          "--ipv4-only",
          "--mtu",
          fmt::format("{}", kVmMtu)};
}

// The machine's addresses are fixed: what they look like outside is the host's.
std::vector<std::string> passt_arguments(const std::string& program, const PastaOptions& options) {
  std::vector<std::string> argv = basic_passt_arguments(program);
  argv.insert(argv.end(), {"--no-map-gw", "--dns-forward", kDnsForwarder, "--address", kVmAddress,
                           "--netmask", fmt::format("{}", kVmPrefix), "--gateway", kVmGateway});
  add_identity(argv);
  if (!options.log_file.empty()) argv.insert(argv.end(), {"--log-file", options.log_file});
  add_all_ports(argv, options.ports);
  if (host_address().empty()) {
    argv.insert(argv.end(), {"--interface", "lo", "--mac-addr", "02:00:00:00:00:01"});
  }
  return argv;
}

// The gateway is the pod's loopback. Name servers are asked as the pod's other containers do, so
// nothing is forwarded here.
std::vector<std::string> pod_passt_arguments(const std::string& program, const PodNetwork& pod) {
  std::vector<std::string> argv = basic_passt_arguments(program);
  argv.insert(argv.end(), {"--dns", "none", "--address", pod.address, "--netmask",
                           fmt::format("{}", kVmPrefix), "--gateway", kPodLoopback});
  add_identity(argv);
  add_all_ports(argv, pod.ports);
  return argv;
}

// Above the standard descriptors, which posix_spawn replaces one after the other.
Result<UniqueFd> lift(UniqueFd fd) {
  if (fd.get() > STDERR_FILENO) return fd;
  const int lifted = fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (lifted < 0) return fail_errno("fcntl F_DUPFD_CLOEXEC");
  return UniqueFd(lifted);
}

// pasta's own words without its complaints about syslog, in one line.
std::string join_messages(std::string_view text) {
  std::vector<std::string> messages;
  for (const std::string& line : split(text, '\n')) {
    const std::string_view message = trim(line);
    if (!message.empty() && message.find("to syslog") == std::string_view::npos) {
      messages.emplace_back(message);
    }
  }
  return messages.empty() ? "no message" : join(messages, "; ");
}

void kill_and_reap(int pidfd) {
  (void)send_signal(pidfd, SIGKILL);
  (void)reap_child(pidfd);
}

// With `given` as its own, the pid on 1 once it is ready, its messages on 2.
Result<PastaStart> spawn(const std::string& program, const std::vector<std::string>& argv,
                         InheritedFd given, const std::string& log_file) {
  Pipe ready = TRY(make_pipe());
  Pipe errors = TRY(make_pipe());
  const UniqueFd out = TRY(lift(std::move(ready.write_end)));
  // It is opened by its path, and passt is nobody by then.
  if (fchmod(out.get(), S_IRUSR | S_IWUSR | S_IWOTH) != 0) return fail_errno("fchmod of a pipe");
  const UniqueFd err = TRY(lift(std::move(errors.write_end)));
  // The last one may have a number that one of the others had here.
  const pid_t child = TRY(spawn_in_session(program, argv,
                                           {{.fd = out.get(), .number = STDOUT_FILENO},
                                            {.fd = err.get(), .number = STDERR_FILENO},
                                            given}));
  UniqueFd pidfd = TRY(open_pidfd(child));
  auto process = identify_process(child);
  if (!process) {
    kill_and_reap(pidfd.get());
    return std::unexpected(std::move(process.error()));
  }
  return PastaStart(*process, std::move(pidfd), std::move(ready.read_end),
                    std::move(errors.read_end), log_file);
}

}  // namespace

Result<PastaStart> spawn_pasta(pid_t pid, const PastaOptions& options) {
  const std::string program = TRY(find_program("pasta"));
  // By descriptor: pasta drops the capability to look into another process's /proc/PID/ns.
  UniqueFd ns_file = TRY(open_file(fmt::format("/proc/{}/ns/net", pid), O_RDONLY | O_CLOEXEC));
  const UniqueFd netns = TRY(lift(std::move(ns_file)));
  std::vector<std::string> argv = pasta_arguments(program, options);
  if (!options.name.empty()) argv.front() = options.name;
  return spawn(program, argv, {.fd = netns.get(), .number = STDIN_FILENO}, options.log_file);
}

namespace {

Result<ProcessId> run_passt(UniqueFd socket, const std::string& program,
                            const std::vector<std::string>& argv, const std::string& log_file) {
  const UniqueFd lifted = TRY(lift(std::move(socket)));
  PastaStart start =
      TRY(spawn(program, argv, {.fd = lifted.get(), .number = kPasstSocket}, log_file));
  return start.wait();
}

// In the network namespace that the thread is in.
Result<> check_is_free(const PortMapping& port) {
  std::vector<PortMapping> ports{port};
  auto chosen = choose_ports(ports);
  if (chosen || chosen.error().code() != ErrorCode::kAlreadyExists) return chosen;
  return std::unexpected(
      Error(ErrorCode::kAlreadyExists,
            fmt::format("port {}/{}: another container of the pod has it", port.container_port,
                        port.protocol))
          .hint("the containers of a pod share one network: each needs ports of its own"));
}

}  // namespace

Result<ProcessId> start_passt_at(UniqueFd socket, const PastaOptions& options) {
  for (const PortMapping& port : options.ports) {
    if (port.host_ip.find(':') == std::string::npos) continue;
    return std::unexpected(
        Error(
            ErrorCode::kUnsupported,
            fmt::format("publish \"{}\": the network of a microVM is IPv4 only", format_port(port)))
            .hint("publish the port on an IPv4 address"));
  }
  const std::string program = TRY(find_program("passt"));
  return run_passt(std::move(socket), program, passt_arguments(program, options), options.log_file);
}

Result<PasstNetwork> start_passt(const PastaOptions& options) {
  SocketPair pair = TRY(make_socket_pair());
  const ProcessId process = TRY(start_passt_at(std::move(pair.theirs), options));
  return PasstNetwork{.process = process, .socket = std::move(pair.ours)};
}

Result<PasstNetwork> start_passt_in_pod(const PodNetwork& pod) {
  const std::string program = TRY(find_program("passt"));
  const NetworkVisit visit = TRY(NetworkVisit::begin(pod.network_namespace));
  for (const PortMapping& port : pod.ports) TRY(check_is_free(port));
  SocketPair pair = TRY(make_socket_pair());
  const ProcessId process =
      TRY(run_passt(std::move(pair.theirs), program, pod_passt_arguments(program, pod), ""));
  return PasstNetwork{.process = process, .socket = std::move(pair.ours)};
}

PastaStart::~PastaStart() {
  if (pidfd_) kill_and_reap(pidfd_.get());
}

Result<ProcessId> PastaStart::wait(std::chrono::milliseconds timeout) {
  pollfd poll_fd{.fd = ready_.get(), .events = POLLIN, .revents = 0};
  int count = 0;
  do {
    count = ::poll(&poll_fd, 1, static_cast<int>(timeout.count()));
  } while (count < 0 && errno == EINTR);
  if (count == 0) return fail(ErrorCode::kTimeout, "pasta: not ready after {} ms", timeout.count());
  std::array<char, 32> text{};
  const ssize_t length = ::read(ready_.get(), text.data(), text.size());
  if (length <= 0) return failed();
  pidfd_.reset();  // it is the caller's now
  return process_;
}

std::unexpected<Error> PastaStart::failed() {
  kill_and_reap(pidfd_.get());
  pidfd_.reset();
  auto text = log_file_.empty() ? read_fd(errors_.get(), "messages of pasta")
                                : read_file(log_file_, kReadLimit);
  return std::unexpected(
      Error(ErrorCode::kNetwork, fmt::format("pasta: {}", join_messages(text.value_or(""))))
          .hint("use --network none to run without a network"));
}

Result<ProcessId> start_pasta(pid_t pid, const PastaOptions& options) {
  PastaStart start = TRY(spawn_pasta(pid, options));
  return start.wait();
}

Result<> stop_pasta(const ProcessId& pasta, StopWait wait) {
  auto pidfd = open_pidfd(pasta);
  if (!pidfd) {
    // A zombie counts as gone, but if it is ours it is still to be reaped.
    if (const auto found = identify_process(pasta.pid); found && *found == pasta) {
      (void)::waitpid(pasta.pid, nullptr, WNOHANG);
    }
    return {};
  }
  // SIGKILL: it keeps nothing that could be lost, and SIGTERM's handler only exits.
  if (auto sent = send_signal(pidfd->get(), SIGKILL);
      !sent && sent.error().code() != ErrorCode::kNotFound) {
    return std::unexpected(std::move(sent.error()).in("stop pasta"));
  }
  if (wait == StopWait::kAsync) return {};
  constexpr std::chrono::seconds kPatience{10};
  if (!TRY(wait_pidfd(pidfd->get(), kPatience))) {
    return fail(ErrorCode::kTimeout, "stop pasta: process {} does not end", pasta.pid);
  }
  (void)reap_child(pidfd->get());  // ECHILD when it is another's child
  return {};
}

}  // namespace trivet::net
