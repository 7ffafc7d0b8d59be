// The agent's part that deals with the container: made, started, entered.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/socket_pair.h"
#include "container/creation.h"
#include "guest/vminit/adoption.h"
#include "guest/vminit/agent.h"
#include "guest/vminit/console.h"
#include "guest/vminit/network.h"
#include "guest/vminit/requests.h"
#include "guest/vminit/share_loopback.h"
#include "guest/vminit/storage.h"
#include "linux/device_nodes.h"
#include "oci/user_lookup.h"

namespace trivet::guest {

namespace {

constexpr const char* kStateRoot = "/run/trivet/oci";
constexpr const char* kBundle = "/run/trivet";
// What tells trivet-infra the number of its descriptor: pod/infra.h, kInfraSocketVariable.
constexpr const char* kChannelVariable = "TRIVET_INFRA_SOCKET";

// The engine's names for them.
std::string container_id(uint8_t number) {
  return number == 0 ? "container" : fmt::format("container-{}", number);
}

Result<> set_hostname(const std::string& name) {
  if (name.empty()) return {};
  if (::sethostname(name.data(), name.size()) != 0) return fail_errno("sethostname \"{}\"", name);
  return {};
}

// The engine does it for a root it can look into before the container is made; an overlay's is
// there only then, so the image's is asked.
void add_home_of_image(oci::Spec& spec, const container::OverlayRoot& overlay) {
  const auto root = open_file(overlay.lower_directories.front(), O_PATH | O_DIRECTORY);
  if (root && spec.process) {
    container::add_home(root->get(), spec.process->user.uid, spec.process->env);
  }
}

seccomp::Program make_program(const SeccompFilter& filter) {
  seccomp::Program program;
  program.instructions.resize(filter.instructions.size() / sizeof(sock_filter));
  std::memcpy(program.instructions.data(), filter.instructions.data(),
              program.instructions.size() * sizeof(sock_filter));
  program.flags = filter.flags;
  return program;
}

Result<> add_devices(oci::Spec& spec) {
  if (!spec.linux_config || !allows_all_devices(*spec.linux_config)) return {};
  std::vector<oci::Device>& devices = spec.linux_config->devices;
  for (oci::Device& device : TRY(find_devices("/dev"))) devices.push_back(std::move(device));
  return {};
}

// Another one than the container's own, who is known by the container's files alone.
Result<> set_user(const std::string& user, pid_t init, oci::Process& process) {
  const UniqueFd root = TRY(open_file(fmt::format("/proc/{}/root", init), O_PATH | O_DIRECTORY));
  const auto open = [&](const std::string& path) -> Result<UniqueFd> {
    auto fd = open_in_root(root.get(), path, O_RDONLY | O_NONBLOCK);
    if (fd || fd.error().errnum() != ENOENT) return fd;
    return std::unexpected(std::move(fd).error().with_code(ErrorCode::kNotFound));
  };
  std::string home;
  process.user = TRY_IN(oci::look_up_user(open, user, &home), "user \"{}\"", user);
  const auto is_home = [](const std::string& entry) { return entry.starts_with("HOME="); };
  if (std::ranges::none_of(process.env, is_home)) process.env.push_back("HOME=" + home);
  if (process.capabilities) {
    oci::Capabilities& capabilities = *process.capabilities;
    capabilities.effective.clear();
    if (process.user.uid == 0) capabilities.effective = capabilities.bounding;
    capabilities.permitted = capabilities.effective;
  }
  return {};
}

oci::NamespaceType shared_namespace(std::string_view name) {
  if (name == "ipc") return oci::NamespaceType::kIpc;
  return name == "uts" ? oci::NamespaceType::kUts : oci::NamespaceType::kPid;
}

// What the program of trivet-infra is executed from, and the other end of its channel.
struct InfraProgram {
  container::Program program;
  UniqueFd channel;
};

Result<InfraProgram> make_infra_program(const UniqueFd& file) {
  if (!file) return fail(ErrorCode::kUnsupported, "the guest came without trivet-infra");
  SocketPair pair = TRY(make_socket_pair());
  InfraProgram infra{.program = {}, .channel = std::move(pair.ours)};
  infra.program.file = UniqueFd(::fcntl(file.get(), F_DUPFD_CLOEXEC, 3));
  infra.program.env = {fmt::format("{}={}", kChannelVariable, pair.theirs.get())};
  infra.program.descriptors.push_back(std::move(pair.theirs));
  return infra;
}

// The agent itself stays as it is: what the host asks it to connect to is in the guest.
Result<> share_loopback(const oci::Spec& spec, const container::Container& container) {
  const auto annotation = spec.annotations.find(kPodLoopbackAnnotation);
  if (annotation == spec.annotations.end()) return {};
  if (container.cgroup() == nullptr) {
    return fail(ErrorCode::kUnsupported, "{}: the container has no cgroup", kPodLoopbackAnnotation);
  }
  const PodLoopback loopback = TRY(parse_pod_loopback(annotation->second));
  return share_pod_loopback(loopback, TRY(container.cgroup()->v2_directory_fd()));
}

}  // namespace

container::Container* Agent::find_container(uint8_t number) {
  const auto found = containers_.find(number);
  return found == containers_.end() || !found->second.container ? nullptr
                                                                : &*found->second.container;
}

Result<> Agent::create(const Frame& frame) {
  return frame.container == 0 ? create_first(frame.payload) : create_further(frame);
}

Result<> Agent::create_first(std::string_view payload) {
  if (create_was_tried_) return fail(ErrorCode::kWrongState, "the guest has a container already");
  create_was_tried_ = true;
  const CreateRequest request = TRY(parse_create(payload));
  TRY(set_hostname(request.hostname));
  TRY(configure_network(request.interfaces));
  TRY(watch_handshakes(request.interfaces));
  return create_container({.session = kInitSession}, request);
}

// What differs from the container that was made when the guest was saved. Its program has not been
// executed yet, and its files are mounted by inode: they are written anew.
Result<> Agent::adopt(std::string_view payload) {
  const container::Container* container = find_container(0);
  if (container == nullptr) return fail(ErrorCode::kWrongState, "there is no container to adopt");
  const CreateRequest request = TRY(parse_create(payload));
  TRY(write_files(request));
  TRY(set_hostname(request.hostname));
  TRY_IN(rename_container(container->init().pid, request.hostname), "name the container");
  TRY(configure_network(request.interfaces));
  return watch_handshakes(request.interfaces);
}

// Its session stays until its output is read, but nothing of the container before does.
Result<> Agent::create_further(const Frame& frame) {
  const CreateRequest request = TRY(parse_create(frame.payload));
  if (find_container(0) == nullptr) {
    return fail(ErrorCode::kWrongState, "the machine's own container is not made yet");
  }
  if (conversations_.size() >= kMaxSessions) {
    return fail(ErrorCode::kLimitExceeded, "too many processes are entered at once");
  }
  remove_container(frame.container);
  return create_container(frame, request);
}

// passt has one device.
Result<> Agent::watch_handshakes(const std::vector<Interface>& interfaces) {
  const auto found = std::ranges::find(interfaces, true, &Interface::completes_handshakes);
  if (found == interfaces.end()) return {};
  handshakes_.emplace(loop_);
  TRY_IN(handshakes_->open(found->name), "network");
  return {};
}

// The pod's namespaces are those of the machine's own container.
Result<> Agent::join(const CreateRequest& request, oci::Spec& spec) const {
  if (request.joins.empty()) return {};
  const pid_t holder = containers_.at(0).container->init().pid;
  if (!spec.linux_config) return {};
  for (const std::string& name : request.joins) {
    const oci::NamespaceType type = shared_namespace(name);
    for (oci::Namespace& entry : spec.linux_config->namespaces) {
      if (entry.type == type) entry.path = fmt::format("/proc/{}/ns/{}", holder, name);
    }
  }
  return {};
}

Result<> Agent::create_container(const Frame& frame, const CreateRequest& request) {
  TRY(make_dirs(kBundle));
  const auto overlay = TRY(storage_.prepare(request, frame.container));
  oci::Spec spec = TRY_IN(oci::parse_spec(request.config), "the guest's config.json");
  if (overlay) add_home_of_image(spec, *overlay);
  TRY(add_devices(spec));
  TRY(join(request, spec));
  std::optional<InfraProgram> infra;
  if (request.infra) infra = TRY(make_infra_program(infra_));
  const bool terminal = spec.process && spec.process->terminal;
  ProgramPipes pipes = terminal || infra ? TRY(make_null_streams()) : TRY(make_program_pipes());
  std::optional<seccomp::Program> filter;
  if (request.seccomp) filter = make_program(*request.seccomp);
  const container::CreateOptions options{
      .state_root = kStateRoot,
      .id = container_id(frame.container),
      .bundle = kBundle,
      .overlay = overlay,
      .stdio = pipes.stdio(),
      .program = infra ? &infra->program : nullptr,
      .cgroup_layout = &cgroups_,
      .seccomp_program = filter ? &*filter : nullptr,
      .config_json = request.config,
      .start_by = container::CreateOptions::StartBy::kCreator,
      .signals_at_start = request.blocks_signals
                              ? container::CreateOptions::SignalsAtStart::kBlocked
                              : container::CreateOptions::SignalsAtStart::kDelivered,
      .on_warning = [](const std::string& warning) { say(warning); }};
  container::Container container = TRY(container::Container::create(spec, options));
  TRY(share_loopback(spec, container));
  StreamEnds ends = std::move(pipes.ours);
  if (terminal) ends = TRY(make_terminal_ends(container.take_console()));
  if (infra) ends = TRY(make_socket_ends(std::move(infra->channel)));
  add_session(frame.session, Kind::kProgram).attach(container.init().pid, std::move(ends));
  conversations_.at(frame.session).container = frame.container;
  Held& held = containers_[frame.container];
  held.container = std::move(container);
  held.spec = std::move(spec);
  held.filter = std::move(filter);
  watch_memory(frame.container);
  return {};
}

// A kernel that can't tell (CONFIG_PSI) is no reason to refuse the container.
void Agent::watch_memory(uint8_t number) {
  Held& held = containers_.at(number);
  if (held.container->cgroup() == nullptr) return;
  held.memory_watch.emplace(loop_, *held.container->cgroup(), number);
  if (auto opened = held.memory_watch->open(); !opened) say(opened.error().message());
}

Result<> Agent::start(uint32_t id) {
  const auto found = conversations_.find(id);
  container::Container* container = nullptr;
  if (found != conversations_.end() && found->second.container) {
    container = find_container(*found->second.container);
  }
  if (container == nullptr && id == kInitSession) {
    send_failure(id, Error(ErrorCode::kWrongState, "there is no container to start"));
  }
  // Another may have ended before: the host may not know yet.
  if (container == nullptr) return {};
  const auto started = container->start();
  answer(id, started);
  if (started) {
    found->second.session->open_streams();
  } else if (id != kInitSession) {
    const uint8_t number = *found->second.container;
    conversations_.erase(found);
    remove_container(number);
  }
  return {};
}

// A further container leaves nothing but what it has written; the machine's own goes with it.
void Agent::finish_container(uint8_t number, Exit& exit) {
  const container::Container* container = find_container(number);
  if (container == nullptr) return;
  if (container->cgroup() != nullptr) {
    exit.oom_killed = container->cgroup()->oom_kills().value_or(0) > 0 ||
                      containers_.at(number).memory_watch->kills() > 0;
  }
  if (number != 0) remove_container(number);
}

// What is still open of its session belongs to nobody from now on. The engine has reaped its init.
void Agent::remove_container(uint8_t number) {
  const auto found = containers_.find(number);
  if (found == containers_.end()) return;
  found->second.memory_watch.reset();
  if (auto removed = found->second.container->remove(container::Container::Force::kYes); !removed) {
    say(removed.error().message());
  }
  containers_.erase(found);
  const auto own = std::ranges::find_if(
      conversations_, [&](const auto& entry) { return entry.second.container == number; });
  if (own == conversations_.end()) return;
  own->second.container.reset();
  constexpr int kExitKilled = 137;
  if (number != 0 && own->second.session->pid() != 0) own->second.session->ended(kExitKilled);
}

Result<> Agent::exec(const Frame& frame) {
  const uint32_t id = frame.session;
  TRY(check_new(id));
  if (conversations_.size() >= kMaxSessions) {
    send_failure(id, Error(ErrorCode::kLimitExceeded, "too many processes are entered at once"));
    return {};
  }
  const auto request = parse_exec(frame.payload);
  Session& session = add_session(id, Kind::kProgram);
  const Result<> done =
      request ? exec_process(frame.container, session, *request) : std::unexpected(request.error());
  answer(id, done);
  if (done) {
    conversations_.at(id).ends_group = request->ends_group;
    session.open_streams();
  } else {
    conversations_.erase(id);
  }
  return {};
}

Result<> Agent::exec_process(uint8_t number, Session& session, const ExecRequest& request) {
  const container::Container* container = find_container(number);
  if (container == nullptr) return fail(ErrorCode::kWrongState, "container not running");
  container::ExecOptions options {
    .process = TRY(oci::parse_process(request.process))
  };
  if (!request.user.empty()) TRY(set_user(request.user, container->init().pid, options.process));
  const bool terminal = options.process.terminal;
  ProgramPipes pipes = terminal || request.detach ? TRY(make_null_streams()) : TRY(make_program_pipes());
  options.stdio = pipes.stdio();
  const Held& held = containers_.at(number);
  options.shell = &held.spec;
  if (held.filter) options.seccomp_program = &*held.filter;
  container::Started started = TRY(container->exec(options));
  StreamEnds ends = std::move(pipes.ours);
  if (terminal) ends = TRY(make_terminal_ends(std::move(started.console)));
  session.attach(started.pid, std::move(ends));
  return {};
}

Result<std::string> Agent::request(const Request& message, uint8_t container) {
  return answer_request(message, find_container(container));
}

// The answer says that everything is written; what comes after it can't fail in a way that matters.
void Agent::shut_down(uint32_t id) {
  for (const auto& [number, conversation] : conversations_) {
    if (number != kInitSession && conversation.session->pid() != 0) {
      (void)::kill(conversation.session->pid(), SIGKILL);
    }
  }
  while (!containers_.empty()) remove_container(containers_.rbegin()->first);
  storage_.release();
  answer(id, Result<std::string>("{}"));
  constexpr std::chrono::milliseconds kPatience{2000};
  port_.drain(kPatience);
  power_off();
}

}  // namespace trivet::guest
