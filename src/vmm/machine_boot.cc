// From the machine's start to a guest that is awake: by a boot, or out of a template. And the
// making of one.
#include <chrono>
#include <unistd.h>

#include "base/text.h"
#include "vmm/machine.h"
#include "vmm/qemu_plan.h"

namespace trivet::vmm {

namespace {

// What a template takes is 0.1 s; a machine whose arguments don't fit looks restored and says
// nothing, so that waiting longer only delays the cold boot.
constexpr std::chrono::seconds kRestoreLimit{10};
constexpr std::chrono::seconds kSaveLimit{60};
constexpr size_t kEntropyBytes = 64;

uint64_t microseconds_since(EventLoop::Clock::time_point begin) {
  const auto time = EventLoop::Clock::now() - begin;
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(time).count());
}

}  // namespace

void Machine::boot() {
  if (!is_restoring())
    return enter(Phase::kBooting, std::chrono::milliseconds(job_.boot_timeout_ms));
  report_.page().from_template = 1;
  enter(Phase::kRestoring, kRestoreLimit);
  restore();
}

void Machine::execute(std::string_view command, const Json& arguments, std::function<void()> then) {
  qmp_->execute(command, arguments, [this, then = std::move(then)](Result<Json> result) {
    if (!result) return give_up(std::move(result).error());
    if (then) then();
  });
}

// x-ignore-shared: the memory is in a file of its own and not in the stream.
void Machine::set_migration_capabilities() {
  Json wanted = Json::array();
  for (const char* name : {"events", "x-ignore-shared"}) {
    wanted.push_back({{"capability", name}, {"state", true}});
  }
  execute("migrate-set-capabilities", {{"capabilities", std::move(wanted)}}, nullptr);
}

// QEMU carries commands out in their order, so none waits for the answer to the one before.
void Machine::restore() {
  set_migration_capabilities();
  execute("migrate-incoming", {{"uri", fmt::format("fd:{}", state_number_)}}, nullptr);
}

// The guest believes in the sizes that the template's disks had. A read-only disk can't be resized:
// the one of the template is larger than all images.
void Machine::restored() {
  for (size_t i = 0; i < job_.disks.size(); ++i) {
    if (job_.disks[i].read_only || job_.saved->has_container) continue;
    execute("block_resize", {{"node-name", disk_node(i)}, {"size", disk_sizes_.at(i)}}, nullptr);
  }
  execute("cont", nullptr, [this] { wake(); });
}

void Machine::save() {
  report_.page().boot_us = microseconds_since(begun_);
  enter(Phase::kSaving, kSaveLimit);
  set_migration_capabilities();
  qmp_->give_descriptor("state", job_.saved->state, [this](Result<Json> given) {
    ::close(job_.saved->state);
    if (!given) return give_up(std::move(given).error());
    execute("stop", nullptr, [this] { execute("migrate", {{"uri", "fd:state"}}, nullptr); });
  });
}

void Machine::saved() {
  saved_ = true;
  execute("quit", nullptr, nullptr);
}

void Machine::handle_event(const QmpEvent& event) {
  if (event.name == "MIGRATION") {
    const std::string status = event.data.value("status", "");
    if (status == "failed") return give_up(explain_end("QEMU could not read or write the state"));
    if (status != "completed") return;
    if (phase_ == Phase::kRestoring) restored();
    if (phase_ == Phase::kSaving) saved();
  } else if (event.name == "GUEST_PANICKED") {
    event_words_ = "the guest's kernel panicked";
  } else if (event.name == "SHUTDOWN" && event.data.value("guest", false)) {
    const std::string reason = event.data.value("reason", "");
    event_words_ = reason == "guest-reset" ? "the guest restarted by itself"
                                           : "the guest powered off by itself";
  } else if (event.name == "STOP" && phase_ != Phase::kSaving) {
    guest_stopped();
  }
}

// Nobody but us stops it, except QEMU when the processor can't go on.
void Machine::guest_stopped() {
  qmp_->execute("query-status", nullptr, [this](const Result<Json>& status) {
    if (!status || !status->is_object()) return;
    const std::string state = status->value("status", "");
    if (state == "running" || state == "shutdown") return;
    give_up(explain_end(fmt::format("the virtual processor stopped ({})", state)));
  });
}

Result<> Machine::handle_agent(const guest::Frame& frame) {
  if (frame.type == guest::FrameType::kReady && phase_ == Phase::kBooting) {
    return agent_ready(frame);
  }
  if (frame.type == guest::FrameType::kAwake && phase_ == Phase::kWaking) {
    agent_awake();
    return {};
  }
  if (frame.type == guest::FrameType::kFailed) {
    give_up(guest::parse_error(frame.payload).in("the guest's agent"));
    return {};
  }
  return fail(ErrorCode::kCorrupt, "agent protocol: frame of type {} at a wrong time",
              static_cast<unsigned>(frame.type));
}

Result<> Machine::agent_ready(const guest::Frame& frame) {
  const guest::Ready ready = TRY(guest::parse_ready(frame.payload));
  if (ready.version != guest::kProtocolVersion) {
    return fail(ErrorCode::kUnsupported, "the guest's agent speaks version {} of the protocol",
                ready.version);
  }
  report_.set_kernel(ready.kernel);
  if (job_.mode == Job::Mode::kMakeTemplate && !job_.saved->has_container) {
    save();
  } else {
    wake();
  }
  return {};
}

void Machine::wake() {
  phase_ = Phase::kWaking;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const guest::Wake message{
      .unix_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(),
      .entropy = random_hex(kEntropyBytes),
      .machine_id = job_.machine_id};
  agent_->send(guest::FrameType::kWake, guest::kAgentSession, guest::print(message));
}

void Machine::agent_awake() {
  report_.page().boot_us = microseconds_since(begun_);
  begun_ = EventLoop::Clock::now();
  create();
}

}  // namespace trivet::vmm
