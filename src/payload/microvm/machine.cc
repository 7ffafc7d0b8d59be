#include "payload/microvm/machine.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "oci/process_text.h"
#include "payload/host_program.h"
#include "payload/microvm/control.h"
#include "payload/microvm/file_identity.h"
#include "payload/microvm/guest_filter.h"
#include "payload/microvm/guest_spec.h"
#include "payload/microvm/image_disk.h"
#include "payload/microvm/initramfs.h"
#include "payload/microvm/jail.h"
#include "payload/microvm/job.h"
#include "payload/microvm/kernel_store.h"
#include "payload/microvm/pod.h"
#include "payload/microvm/program_builder.h"
#include "payload/microvm/scratch_disk.h"
#include "payload/microvm/sizes.h"
#include "payload/microvm/template_maker.h"
#include "payload/microvm/vmm_choice.h"
#include "payload/microvm/warm_plan.h"

namespace trivet::payload::microvm {

namespace {

constexpr size_t kFileLimit = 1U << 20U;  // of one that is copied

std::string annotation(const oci::Spec& spec, const char* name, const std::string& fallback) {
  const auto entry = spec.annotations.find(name);
  return entry == spec.annotations.end() ? fallback : entry->second;
}

Result<bool> wants_template(const oci::Spec& spec) {
  const std::string text = annotation(spec, kTemplateAnnotation, "on");
  if (text == "on" || text == "off") return text == "on";
  return fail(ErrorCode::kInvalidArgument, "annotation {}: \"{}\" is neither on nor off",
              kTemplateAnnotation, text);
}

Result<uint64_t> scratch_bytes(const oci::Spec& spec) {
  const auto entry = spec.annotations.find(kDiskAnnotation);
  if (entry == spec.annotations.end()) return kDefaultScratchBytes;
  const int64_t bytes = TRY_IN(parse_size(entry->second), "annotation {}", kDiskAnnotation);
  return static_cast<uint64_t>(std::max<int64_t>(bytes, 0));
}

// One machine in the making.
class Machine {
 public:
  explicit Machine(const Request& request)
      : request_(request), vm_directory_(vm_directory(request.data_directory)) {}

  Result<> check() {
    TRY(ProgramBuilder::make());
    return plan();
  }

  Result<Prepared> run() {
    TRY(plan());
    builder_.emplace(TRY(ProgramBuilder::make()));
    TRY(add_krun());
    TRY(add_disks());
    TRY(add_network());
    TRY(add_create());
    TRY(add_template());
    TRY(add_scratch());
    TRY(add_conversation());
    return finish();
  }

 private:
  [[nodiscard]] bool is_layered() const {
    return request_.overlay != nullptr && request_.overlay->has_value();
  }
  void warn(const std::string& text) const {
    if (request_.on_warning) request_.on_warning(text);
  }

  Result<> plan() {
    sizes_ = TRY(plan_size());
    TRY(plan_content());
    for (const std::string& text : guest_.warnings) warn(text);
    vmm_ = TRY(parse_vmm(annotation(request_.spec, kVmmAnnotation, "qemu")));
    std::string accelerator = annotation(request_.spec, kAcceleratorAnnotation, "auto");
    if (vmm_ == Vmm::kLibkrun) {
      krun_ = TRY(find_krun_files());
      accelerator = TRY(krun_accelerator(accelerator));
    }
    const Acceleration acceleration = TRY(choose_accelerator(accelerator, vm_directory_));
    if (!acceleration.warning.empty()) warn(acceleration.warning);
    job_.kvm = acceleration.accelerator == Accelerator::kKvm;
    job_.tsc_khz = acceleration.tsc_khz;
    const std::string infra = request_.vm.pod == nullptr ? "" : find_companion("trivet-infra");
    boot_ = TRY(find_guest(vm_directory_, find_companion("trivet-vminit"), infra));
    job_.boot_timeout_ms = job_.kvm ? kBootTimeoutMs : kEmulatedBootTimeoutMs;
    if (vmm_ == Vmm::kLibkrun) TRY(check_krun_kernel(boot_.acpi, boot_.kernel_release));
    job_.acpi = boot_.acpi;
    job_.vcpus = sizes_.vcpus;
    job_.memory_mib = sizes_.memory_mib;
    job_.share = !guest_.shares.empty();
    return {};
  }

  [[nodiscard]] Result<Sizes> plan_size() const {
    if (request_.vm.pod == nullptr) return plan_sizes(request_.spec, request_.vm.limits);
    return plan_pod_sizes(request_.spec, *request_.vm.pod, request_.vm.limits);
  }

  Result<> plan_pod() {
    pod_.emplace(TRY(PodContent::plan(*request_.vm.pod)));
    guest_ = TRY(pod_->plan_infra(request_.spec, request_.bundle));
    for (oci::Mount& share : pod_->shares()) guest_.shares.push_back(std::move(share));
    for (std::string& text : pod_->warnings()) guest_.warnings.push_back(std::move(text));
    return {};
  }

  Result<> plan_content() {
    if (request_.vm.pod != nullptr) return plan_pod();
    guest_ =
        TRY(plan_guest(request_.spec, {.bundle = request_.bundle,
                                       .private_directory = is_layered() ? request_.bundle : "",
                                       .root_is_shared = !is_layered(),
                                       .pod_directory = request_.data_directory + "/pods"}));
    if (!is_layered()) return {};
    const std::vector<std::string>& lower = (*request_.overlay)->lower_directories;
    lower_is_shared_ = !image_disk_key(lower);
    // A directory of the user's, which may change at any time: no image of it would be true.
    if (lower_is_shared_) {
      guest_.shares.push_back({.destination = "/share/lower",
                               .type = "bind",
                               .source = lower.front(),
                               .options = {"rbind", "rprivate", "ro"}});
    }
    return {};
  }

  Result<> add_krun() {
    if (vmm_ != Vmm::kLibkrun) return {};
    TRY(check_krun({.shares_files = job_.share,
                    .has_own_network = request_.vm.network != VmNetwork::kNamespace}));
    job_.krun.emplace();
    job_.krun->program = builder_->add(TRY(open_host_program(krun_.program)));
    job_.krun->library = builder_->add(TRY(open_host_program(krun_.library)));
    return {};
  }

  // The image, which all its machines share, and what this one writes.
  Result<> add_disks() {
    if (pod_) return add_pod();
    if (!is_layered()) return {};
    const container::OverlayRoot& overlay = **request_.overlay;
    if (lower_is_shared_) {
      job_.create.lower_share = "lower";
    } else {
      ImageDisk image = TRY(image_disk(request_.data_directory, overlay.lower_directories));
      job_.disks.push_back({.fd = builder_->add(std::move(image.fd)), .read_only = true});
      job_.create.lower_device = "vda";
    }
    job_.disks.push_back({.fd = -1, .read_only = false});
    job_.create.scratch_device = lower_is_shared_ ? "vda" : "vdb";
    return {};
  }

  // After its template, which may come with a disk.
  Result<> add_scratch() {
    if (pod_ || !is_layered()) return {};
    job_.disks.back().fd = builder_->add(TRY(open_scratch()));
    return {};
  }

  [[nodiscard]] std::string scratch_path() const {
    return fmt::format("{}/{}", request_.bundle, kDiskName);
  }

  [[nodiscard]] Result<UniqueFd> open_scratch() const {
    const std::string path = scratch_path();
    if (warm_disk_) return copy_scratch_disk(warm_disk_.get(), path);
    if (exists(path)) return open_file(path, O_RDWR);
    return make_scratch_disk(vm_directory_, TRY(scratch_bytes(request_.spec)), path);
  }

  Result<> add_pod() {
    PodContent::Disks disks =
        TRY(pod_->add_disks(request_.data_directory, TRY(open_scratch()), *builder_));
    members_ = TRY(pod_->make_members(disks, job_.share));
    job_.disks = std::move(disks.disks);
    job_.create.scratch_device = disks.scratch;
    job_.create.volumes = pod_->volumes();
    job_.create.infra = true;
    return {};
  }

  Result<> add_network() {
    using Kind = Network::Kind;
    job_.network.kind = Kind::kNone;
    if (request_.vm.network == VmNetwork::kSocket) {
      job_.network = {
        .kind = Kind::kPasst,
        .fd = TRY(builder_->add_copy(request_.vm.network_socket))
      };
      job_.create.interfaces = request_.vm.interfaces;
    } else if (request_.vm.network == VmNetwork::kNamespace) {
      job_.network.kind = Kind::kTap;
    }
    return {};
  }

  // What serves files can't be saved, how many devices a namespace brings is not known yet, and
  // libkrun saves nothing.
  Result<> add_template() {
    if (job_.krun || job_.share || job_.network.kind == Network::Kind::kTap) return {};
    if (request_.vm.no_template || !TRY(wants_template(request_.spec))) return {};
    if (TRY(add_warm_template())) return {};
    auto found = find_or_make_template({.vm_directory = vm_directory_, .boot = boot_, .job = job_});
    if (!found) {
      no_template_ = "booting without a template: " + found.error().message();
      warn(no_template_);
      return {};
    }
    job_.saved = SavedMachine{.memory = builder_->add(std::move(found->memory)),
                              .state = builder_->add(std::move(found->state))};
    return {};
  }

  // A disk that was written to belongs to a container that ran already.
  [[nodiscard]] bool can_be_warm() const {
    return !pod_ && is_layered() && !lower_is_shared_ && !exists(scratch_path()) &&
           guest_.guest.hooks.start_container.empty();
  }

  [[nodiscard]] Result<WarmContent> warm_content(const WarmPlan& plan) const {
    WarmContent content {
      .create = plan.made, .image = job_.disks.front().fd,
      .scratch_bytes = TRY(scratch_bytes(request_.spec))
    };
    struct stat image{};
    if (fstat(content.image, &image) != 0) return fail_errno("stat the image's disk");
    content.digest = fmt::format("{}\n{}\n{}", plan.digest, identity_text(identity_of(image)),
                                 content.scratch_bytes);
    return content;
  }

  // A container that is made already, but for what is its own.
  Result<bool> add_warm_template() {
    if (!can_be_warm()) return false;
    WarmPlan plan = plan_warm(guest_.guest, job_.create);
    auto found = find_or_make_warm_template(
        {.vm_directory = vm_directory_, .boot = boot_, .job = job_}, TRY(warm_content(plan)));
    // What is wrong with a container is said by the start that follows.
    if (!found || !*found) return false;
    Template& warm = **found;
    job_.saved = SavedMachine{.memory = builder_->add(std::move(warm.memory)),
                              .state = builder_->add(std::move(warm.state)),
                              .has_container = true};
    warm_disk_ = std::move(warm.disk);
    job_.create = std::move(plan.adopted);
    return true;
  }

  Result<> add_create() {
    guest::CreateRequest& create = job_.create;
    TRY(compile_filter(request_.seccomp_cache, guest_.guest, create));
    create.config = oci::print_spec(guest_.guest);
    create.share = job_.share;
    create.blocks_signals = request_.vm.blocks_signals;
    create.hostname = request_.spec.hostname;
    for (const CopiedFile& file : guest_.files) {
      create.files.push_back(
          { .name = file.name, .mode = 0644, .content = TRY(read_file(file.source, kFileLimit)) });
    }
    job_.machine_id = new_machine_id();
    job_.terminal = request_.spec.process->terminal;
    job_.report = TRY(builder_->add_copy(request_.vm.report));
    return {};
  }

  Result<> add_conversation() {
    container::Program::Conversation places {
      .sync = TRY(builder_->add_place())
    };
    if (!request_.creator_starts) places.listener = TRY(builder_->add_place());
    job_.sync = places.sync;
    job_.listener = places.listener;
    builder_->set_conversation(places);
    return {};
  }

  Result<Prepared> finish() {
    const JailInputs jail {
      .directory = TRY(make_jail_root(vm_directory_))
      , .kernel = boot_.kernel, .initramfs = boot_.initramfs, .shares = guest_.shares,
          .sizes = sizes_, .kvm = job_.kvm, .tap = job_.network.kind == Network::Kind::kTap
    };
    Prepared prepared {
      .isolation = Isolation::kMicrovm, .spec = plan_jail(request_.spec, jail),
      .program = TRY(std::move(*builder_).finish(print_job(job_)))
      , .own_root = true
    };
    prepared.program.shown = guest_.view;
    prepared.members = std::move(members_);
    prepared.spec.annotations[kIsolationAnnotation] = isolation_name(Isolation::kMicrovm);
    prepared.machine = MachineFacts{
        .vmm = vmm_name(vmm_),
        .kernel = boot_.kernel_release,
        .accelerator = accelerator_name(job_.kvm ? Accelerator::kKvm : Accelerator::kTcg),
        .vcpus = sizes_.vcpus,
        .memory_mib = sizes_.memory_mib,
        .from_template = job_.saved.has_value(),
        .no_template = no_template_};
    return prepared;
  }

  const Request& request_;
  std::string vm_directory_;
  Sizes sizes_;
  Vmm vmm_ = Vmm::kQemu;
  KrunFiles krun_;
  GuestPlan guest_;
  bool lower_is_shared_ = false;
  std::optional<PodContent> pod_;
  std::vector<Member> members_;
  std::string no_template_;
  Guest boot_;
  Job job_;
  UniqueFd warm_disk_;
  std::optional<ProgramBuilder> builder_;
};

}  // namespace

Result<Prepared> prepare_machine(const Request& request) {
  return Machine(request).run();
}

Result<MachineCheck> check_machine(const oci::Spec& spec, const std::string& data_directory) {
  MachineCheck check;
  const Request request{
      .spec = spec,
      .data_directory = data_directory,
      .vm = {.limits = TRY(size_limits(spec.annotations))},
      .on_warning = [&](const std::string& text) { check.warnings.push_back(text); }};
  TRY(Machine(request).check());
  return check;
}

// The descriptors are those of the shell's own; the machine is known by its socket alone.
Result<Prepared> prepare_member(const Request& request) {
  const MachineSeat& seat = *request.vm.seat;
  ProgramBuilder builder = TRY(ProgramBuilder::make());
  container::Program::Conversation places {
    .sync = TRY(builder.add_place())
  };
  if (!request.creator_starts) places.listener = TRY(builder.add_place());
  builder.set_conversation(places);
  const bool emulated = seat.facts.accelerator != accelerator_name(Accelerator::kKvm);
  const MemberJob job {
    .container = seat.member.number, .create = seat.member.create,
    .machine = builder.add(TRY(connect_to_machine(seat.machine))), .sync = places.sync,
    .listener = places.listener, .report = TRY(builder.add_copy(request.vm.report))
    , .terminal = seat.member.terminal,
        .timeout_ms = emulated ? kEmulatedBootTimeoutMs : kBootTimeoutMs
  };
  const std::string root = TRY(make_jail_root(vm_directory(request.data_directory)));
  Prepared prepared {
    .isolation = Isolation::kMicrovm, .spec = plan_member_jail(request.spec, root),
    .program = TRY(std::move(builder).finish(print_job(job)))
    , .own_root = true
  };
  prepared.spec.annotations[kIsolationAnnotation] = isolation_name(Isolation::kMicrovm);
  prepared.spec.annotations[kMemberAnnotation] = fmt::format("{}", seat.member.number);
  prepared.machine = seat.facts;
  return prepared;
}

Result<PreparedExec> prepare_machine_exec(const oci::Process& process, const GuestExec& guest) {
  TRY(oci::require_utf8(process));
  ProgramBuilder builder = TRY(ProgramBuilder::make());
  const ExecJob job {
    .request = {.process = oci::print_process(process),
                .user = guest.user,
                .ends_group = guest.ends_group},
    .sync = TRY(builder.add_place())
    , .terminal = process.terminal
  };
  builder.set_conversation({.sync = job.sync});
  return PreparedExec {
    .process = plan_jail_process(process), .program = TRY(std::move(builder).finish(print_job(job)))
  };
}

Result<PreparedExec> prepare_machine_connect(const guest::ConnectRequest& request) {
  ProgramBuilder builder = TRY(ProgramBuilder::make());
  const int sync = TRY(builder.add_place());
  builder.set_conversation({.sync = sync});
  const ExecJob job{.request = {}, .connect = request, .sync = sync};
  container::Program program = TRY(std::move(builder).finish(print_job(job)));
  return PreparedExec{.process = plan_jail_process({}), .program = std::move(program)};
}

}  // namespace trivet::payload::microvm
