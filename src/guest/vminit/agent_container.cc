// The agent's part that deals with the container: made, started, entered.
#include <algorithm>
#include <csignal>
#include <unistd.h>

#include "base/fs.h"
#include "container/creation.h"
#include "guest/vminit/agent.h"
#include "guest/vminit/console.h"
#include "guest/vminit/network.h"
#include "guest/vminit/requests.h"
#include "guest/vminit/storage.h"
#include "linux/device_nodes.h"
#include "oci/user_lookup.h"

namespace trivet::guest {

namespace {

constexpr const char* kStateRoot = "/run/trivet/oci";
constexpr const char* kBundle = "/run/trivet";
constexpr const char* kContainerId = "container";

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

}  // namespace

Result<> Agent::create(std::string_view payload) {
  if (create_was_tried_) return fail(ErrorCode::kWrongState, "the guest has a container already");
  create_was_tried_ = true;
  const CreateRequest request = TRY(parse_create(payload));
  TRY(set_hostname(request.hostname));
  TRY(configure_network(request.interfaces));
  TRY(watch_handshakes(request.interfaces));
  return create_container(request);
}

// passt has one device.
Result<> Agent::watch_handshakes(const std::vector<Interface>& interfaces) {
  const auto found = std::ranges::find(interfaces, true, &Interface::completes_handshakes);
  if (found == interfaces.end()) return {};
  handshakes_.emplace(loop_);
  TRY_IN(handshakes_->open(found->name), "network");
  return {};
}

Result<> Agent::create_container(const CreateRequest& request) {
  TRY(make_dirs(kBundle));
  const auto overlay = TRY(prepare_storage(request));
  oci::Spec spec = TRY_IN(oci::parse_spec(request.config), "the guest's config.json");
  if (overlay) add_home_of_image(spec, *overlay);
  TRY(add_devices(spec));
  const bool terminal = spec.process && spec.process->terminal;
  ProgramPipes pipes = terminal ? TRY(make_null_streams()) : TRY(make_program_pipes());
  const container::CreateOptions options{
      .state_root = kStateRoot,
      .id = kContainerId,
      .bundle = kBundle,
      .overlay = overlay,
      .stdio = pipes.stdio(),
      .config_json = request.config,
      .start_by = container::CreateOptions::StartBy::kCreator,
      .signals_at_start = request.blocks_signals
                              ? container::CreateOptions::SignalsAtStart::kBlocked
                              : container::CreateOptions::SignalsAtStart::kDelivered,
      .on_warning = [](const std::string& warning) { say(warning); }};
  container_ = TRY(container::Container::create(spec, options));
  StreamEnds ends = std::move(pipes.ours);
  if (terminal) ends = TRY(make_terminal_ends(container_->take_console()));
  add_session(kInitSession, Kind::kProgram).attach(container_->init().pid, std::move(ends));
  watch_memory();
  return {};
}

// A kernel that can't tell (CONFIG_PSI) is no reason to refuse the container.
void Agent::watch_memory() {
  if (container_->cgroup() == nullptr) return;
  memory_watch_.emplace(loop_, *container_->cgroup());
  if (auto opened = memory_watch_->open(); !opened) say(opened.error().message());
}

Result<> Agent::start() {
  Session* session = find(kInitSession);
  if (!container_ || session == nullptr) {
    send_failure(kInitSession, Error(ErrorCode::kWrongState, "there is no container to start"));
    return {};
  }
  const auto started = container_->start();
  answer(kInitSession, started);
  if (started) session->open_streams();
  return {};
}

Result<> Agent::exec(uint32_t id, std::string_view payload) {
  TRY(check_new(id));
  if (conversations_.size() >= kMaxSessions) {
    send_failure(id, Error(ErrorCode::kLimitExceeded, "too many processes are entered at once"));
    return {};
  }
  const auto request = parse_exec(payload);
  Session& session = add_session(id, Kind::kProgram);
  const Result<> done =
      request ? exec_process(session, *request) : std::unexpected(request.error());
  answer(id, done);
  if (done) {
    session.open_streams();
  } else {
    conversations_.erase(id);
  }
  return {};
}

Result<> Agent::exec_process(Session& session, const ExecRequest& request) {
  if (!container_) return fail(ErrorCode::kWrongState, "container not running");
  container::ExecOptions options {
    .process = TRY(oci::parse_process(request.process))
  };
  if (!request.user.empty()) TRY(set_user(request.user, container_->init().pid, options.process));
  const bool terminal = options.process.terminal;
  ProgramPipes pipes = terminal || request.detach ? TRY(make_null_streams()) : TRY(make_program_pipes());
  options.stdio = pipes.stdio();
  container::Started started = TRY(container_->exec(options));
  StreamEnds ends = std::move(pipes.ours);
  if (terminal) ends = TRY(make_terminal_ends(std::move(started.console)));
  session.attach(started.pid, std::move(ends));
  return {};
}

Result<std::string> Agent::request(const Request& message) {
  return answer_request(message, container_ ? &*container_ : nullptr);
}

// The answer says that everything is written; what comes after it can't fail in a way that matters.
void Agent::shut_down(uint32_t id) {
  for (const auto& [number, conversation] : conversations_) {
    if (number != kInitSession && conversation.session->pid() != 0) {
      (void)::kill(conversation.session->pid(), SIGKILL);
    }
  }
  memory_watch_.reset();
  if (container_) {
    if (auto removed = container_->remove(container::Container::Force::kYes); !removed) {
      say(removed.error().message());
    }
  }
  release_storage();
  answer(id, Result<std::string>("{}"));
  constexpr std::chrono::milliseconds kPatience{2000};
  port_.drain(kPatience);
  power_off();
}

}  // namespace trivet::guest
