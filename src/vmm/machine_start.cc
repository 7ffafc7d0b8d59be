// The machine's processes and the connections between them.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/memfd.h"
#include "base/socket_pair.h"
#include "base/text.h"
#include "vmm/confine.h"
#include "vmm/machine.h"
#include "vmm/preload_library.h"
#include "vmm/share.h"

namespace trivet::vmm {

namespace {

std::string describe_status(int pidfd) {
  const auto code = reap_child(pidfd);
  if (!code) return "ended";
  if (*code > 128) return fmt::format("was ended by {}", signal_name(*code - 128));
  return fmt::format("ended with exit code {}", *code);
}

}  // namespace

Result<> Machine::start() {
  network_ = TRY(prepare_network(job_));
  for (const guest::Interface& interface : network_.interfaces) {
    job_.create.interfaces.push_back(interface);
  }
  TRY(start_vmm());
  TRY(watch());
  if (job_.mode == Job::Mode::kRun) TRY(relay_->prepare_terminal());
  TRY(router_->listen());
  return confine_self();
}

Result<> Machine::start_vmm() {
  SocketPair qmp = TRY(make_socket_pair());
  SocketPair agent = TRY(make_socket_pair());
  SocketPair console = TRY(make_socket_pair());
  Pipe diagnostics = TRY(make_pipe());
  Share share;
  if (job_.share) share = TRY(start_share(job_, diagnostics.write_end.get()));
  UniqueFd preload;
  if (job_.saved) {
    preload = TRY(sealed_memfd("trivet-preload", preload_library(), kExecutableMemfd));
    if (restores(job_)) TRY(reopen_state());
  }
  const VmmPlan plan = plan_vmm(job_, {.qmp = qmp.theirs.get(),
                                       .agent = agent.theirs.get(),
                                       .console = console.theirs.get(),
                                       .share = share.connection.get(),
                                       .preload = preload.get(),
                                       .network = network_.backends});
  state_number_ = plan.state_number;
  begun_ = EventLoop::Clock::now();
  vmm_name_ = plan.name;
  vmm_ = TRY(start_child({.argv = plan.argv,
                          .inherited = plan.inherited,
                          .env = plan.env,
                          .stderr_fd = diagnostics.write_end.get(),
                          .uid = job_.qemu_uid}));
  share_ = std::move(share.server);
  console_.emplace(loop_, std::move(console.ours), job_.console);
  diagnostics_.emplace(loop_, std::move(diagnostics.read_end), -1);
  if (plan.listens) qmp_.emplace(loop_, std::move(qmp.ours));
  agent_.emplace(loop_, std::move(agent.ours), guest::Direction::kToHost);
  router_.emplace(loop_, *agent_);
  relay_.emplace(loop_, *agent_, signals_,
                 Relay::Options{.session = guest::kInitSession, .terminal = job_.terminal});
  close_given();
  return {};
}

// With an offset of its own: the descriptor may be one of several machines'.
Result<> Machine::reopen_state() {
  UniqueFd own = TRY(open_file(fmt::format("/proc/self/fd/{}", job_.saved->state), O_RDONLY));
  ::close(std::exchange(job_.saved->state, own.release()));
  return {};
}

// What is the machine's now. The sizes of its disks are needed after a restore.
void Machine::close_given() {
  for (const auto& disk : job_.disks) {
    struct stat status{};
    disk_sizes_.push_back(fstat(disk.fd, &status) == 0 ? status.st_size : 0);
    ::close(disk.fd);
  }
  if (job_.krun) {
    ::close(job_.krun->program);
    ::close(job_.krun->library);
  }
  if (!job_.saved) return;
  ::close(job_.saved->memory);
  if (restores(job_)) ::close(job_.saved->state);
}

Result<> Machine::watch() {
  TRY(console_->open(nullptr));
  TRY(diagnostics_->open(nullptr));
  if (qmp_) {
    TRY(qmp_->open({.on_event = [this](const QmpEvent& event) { handle_event(event); },
                    .on_failure = [this](const Error& error) { give_up(error); }}));
  }
  TRY(agent_->open({.on_frame = [this](const guest::Frame& frame) { return handle_frame(frame); },
                    .on_end = [this](const Error& error) { agent_ended(error); },
                    .on_drained = [this] { router_->agent_drained(); }}));
  TRY(engine_.open({.on_go = [this] { go(); }, .on_abandoned = [this] { stop(1); }}));
  signals_.on_child([this] { reap_orphans(); });
  TRY(watch_child(vmm_, vmm_name_));
  return watch_child(share_, "virtiofsd");
}

Result<> Machine::watch_child(Child& child, const char* name) {
  if (!child.pidfd) return {};
  return loop_.watch(child.pidfd.get(), EPOLLIN,
                     [this, &child, name](uint32_t) { child_ended(child, name); });
}

void Machine::child_ended(Child& child, const char* name) {
  loop_.forget(child.pidfd.get());
  const std::string how = fmt::format("{} {}", name, describe_status(child.pidfd.get()));
  child = {};
  reap_orphans();
  give_up(explain_end(how));
}

// Whoever is in this pid namespace and has lost its parent is our child. Our own children are
// waited for by their descriptors.
void Machine::reap_orphans() const {
  siginfo_t info{};
  while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
    if (info.si_pid == vmm_.pid || info.si_pid == share_.pid) return;
    (void)waitid(P_PID, static_cast<id_t>(info.si_pid), &info, WEXITED | WNOHANG);
    info = {};
  }
}

// The guest's last words say more than that its connection or the machine has ended.
Error Machine::explain_end(std::string_view what) {
  console_->drain();
  diagnostics_->drain();
  const std::string panic = console_->tail().find_panic();
  if (!panic.empty()) {
    return {ErrorCode::kSystem, fmt::format("the guest's kernel panicked: {}", panic)};
  }
  if (!event_words_.empty()) return {ErrorCode::kSystem, event_words_};
  const std::string said = diagnostics_->tail().last_line();
  return {ErrorCode::kSystem, said.empty() ? std::string(what) : fmt::format("{}: {}", what, said)};
}

}  // namespace trivet::vmm
