#include "payload/microvm/template_maker.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/memfd.h"
#include "base/paths.h"
#include "base/sha256.h"
#include "base/socket_pair.h"
#include "base/text.h"
#include "container/container.h"
#include "payload/host_program.h"
#include "payload/microvm/host_facts.h"
#include "payload/microvm/jail.h"
#include "payload/microvm/scratch_disk.h"

namespace trivet::payload::microvm {

namespace {

// A read-only disk can't be told a new size after a restore, so the template's is larger than any
// image; a writable one is.
constexpr off_t kReadOnlyBytes = off_t{1} << 40;
constexpr off_t kWritableBytes = off_t{1} << 25;
constexpr std::chrono::seconds kPatience{120};
constexpr size_t kMessageLimit = 64U << 10U;

// QEMU takes a read-only disk from a descriptor that is for reading only.
Result<UniqueFd> make_blank_disk(bool read_only) {
  UniqueFd fd(memfd_create("trivet-blank-disk", MFD_CLOEXEC));
  if (!fd || ftruncate(fd.get(), read_only ? kReadOnlyBytes : kWritableBytes) != 0) {
    return fail_errno("make a blank disk");
  }
  if (!read_only) return fd;
  return open_file(fmt::format("/proc/self/fd/{}", fd.get()), O_RDONLY);
}

// The machine of a template: what the job's has, with nothing behind its devices.
class TemplateMachine {
 public:
  TemplateMachine(const TemplateRequest& request, const TemplateStore::Files& files,
                  const WarmContent* content = nullptr)
      : request_(request), content_(content), disk_path_(files.disk) {
    job_ = request.job;
    job_.mode = Job::Mode::kMakeTemplate;
    job_.saved = SavedMachine{.memory = files.memory, .state = files.state};
    job_.saved->has_container = content != nullptr;
    job_.create = content == nullptr ? guest::CreateRequest() : content->create;
    job_.machine_id = new_machine_id();
    job_.sync = job_.listener = job_.report = job_.console = -1;
    job_.terminal = false;
  }

  Result<> run() {
    TRY(add_devices());
    TRY(add_copy(job_.saved->memory));
    TRY(add_copy(job_.saved->state));
    const std::string path = find_companion("trivet-vmm");
    program_.file = TRY(open_host_program(path));
    program_.descriptors.push_back(TRY(sealed_memfd("trivet-vmm-job", print_job(job_))));
    program_.env = {fmt::format("{}={}", kJobVariable, program_.descriptors.back().get())};
    return run_in_jail();
  }

 private:
  Result<> add_copy(int& number) {
    UniqueFd copy(fcntl(number, F_DUPFD_CLOEXEC, 3));
    if (!copy) return fail_errno("fcntl F_DUPFD_CLOEXEC");
    number = copy.get();
    program_.descriptors.push_back(std::move(copy));
    return {};
  }

  [[nodiscard]] Result<UniqueFd> open_disk(bool read_only) const {
    if (content_ == nullptr) return make_blank_disk(read_only);
    if (!read_only) {
      return make_scratch_disk(request_.vm_directory, content_->scratch_bytes, disk_path_);
    }
    UniqueFd copy(fcntl(content_->image, F_DUPFD_CLOEXEC, 3));
    if (!copy) return fail_errno("fcntl F_DUPFD_CLOEXEC");
    return copy;
  }

  Result<> add_devices() {
    for (Disk& disk : job_.disks) {
      UniqueFd blank = TRY(open_disk(disk.read_only));
      disk.fd = blank.get();
      program_.descriptors.push_back(std::move(blank));
    }
    if (job_.network.kind == Network::Kind::kNone) return {};
    SocketPair pair = TRY(make_socket_pair());
    job_.network.fd = pair.theirs.get();
    program_.descriptors.push_back(std::move(pair.theirs));
    other_end_ = std::move(pair.ours);
    return {};
  }

  [[nodiscard]] oci::Spec jail(const std::string& root) const {
    oci::Spec spec;
    spec.process.emplace();
    oci::Linux& config = spec.linux_config.emplace();
    config.namespaces = {{.type = oci::NamespaceType::kNetwork}};
    return plan_jail(spec, {.directory = root,
                            .kernel = request_.boot.kernel,
                            .initramfs = request_.boot.initramfs,
                            .sizes = {.vcpus = job_.vcpus, .memory_mib = job_.memory_mib},
                            .kvm = job_.kvm});
  }

  Result<> run_in_jail() {
    const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
    const UniqueFd messages(memfd_create("trivet-vmm-messages", MFD_CLOEXEC));
    if (!messages) return fail_errno("memfd_create");
    auto container = TRY(container::Container::create(
        jail(TRY(make_jail_root(request_.vm_directory))),
        {.state_root = request_.vm_directory + "/making",
         .id = fmt::format("template-{}-{}", getpid(), gettid()),
         .bundle = request_.vm_directory,
         .stdio = {.stdin_fd = null.get(), .stdout_fd = null.get(), .stderr_fd = messages.get()},
         .program = &program_,
         .cgroup_driver = cgroup::Driver::kDisabled,
         .start_by = container::CreateOptions::StartBy::kCreator}));
    auto made = wait_for(container, messages.get());
    auto removed = container.remove(container::Container::Force::kYes);
    if (made && !removed) return removed;
    return made;
  }

  static Result<> wait_for(container::Container& container, int messages) {
    TRY(container.start());
    if (!TRY(wait_pidfd(container.init_pidfd(), kPatience))) {
      return fail(ErrorCode::kTimeout, "the template's machine has not booted after {} s",
                  kPatience.count());
    }
    const int code = TRY(reap_child(container.init_pidfd()));
    if (code == 0) return {};
    if (lseek(messages, 0, SEEK_SET) != 0) return fail_errno("lseek");
    const std::string text = read_fd(messages, "messages", kMessageLimit).value_or("");
    return fail(ErrorCode::kSystem, "the template's machine ended with exit code {}: {}", code,
                trim(text));
  }

  const TemplateRequest& request_;
  const WarmContent* content_;
  std::string disk_path_;
  Job job_;
  container::Program program_;
  UniqueFd other_end_;  // of the network, which nobody serves
};

Result<TemplateInputs> inputs_of(const TemplateRequest& request) {
  const Job& job = request.job;
  TemplateInputs inputs{.kernel_digest = request.boot.kernel_digest,
                        .initramfs_digest = request.boot.initramfs_digest,
                        .accelerator = job.kvm ? Accelerator::kKvm : Accelerator::kTcg,
                        .tsc_khz = job.tsc_khz,
                        .vcpus = job.vcpus,
                        .memory_mib = job.memory_mib,
                        .acpi = job.acpi,
                        .processor = processor_identity()};
  inputs.qemu = TRY(identify_program(job.qemu));
  inputs.vmm = TRY(identify_program(find_companion("trivet-vmm")));
  for (const Disk& disk : job.disks) {
    inputs.devices.emplace_back(disk.read_only ? "read-only disk" : "disk");
  }
  if (job.network.kind != Network::Kind::kNone) inputs.devices.emplace_back("network");
  return inputs;
}

// For people.
std::string describe(const TemplateRequest& request) {
  return fmt::format("{}, {} CPUs, {} MiB", request.boot.kernel_release, request.job.vcpus,
                     request.job.memory_mib);
}

// Which warm templates were asked for, as far back as is remembered, newest first. Two processes at
// the same time may forget one another's, which costs no more than a later start's being slower.
class WarmRequests {
 public:
  explicit WarmRequests(const std::string& vm_directory)
      : path_(vm_directory + "/warm.requests"),
        entries_(split(read_file(path_, kMaxBytes).value_or(""), '\n')) {}

  [[nodiscard]] bool contains(const std::string& entry) const {
    return std::ranges::find(entries_, entry) != entries_.end();
  }
  Result<> add(const std::string& entry) {
    constexpr size_t kRemembered = 64;
    entries_.insert(entries_.begin(), entry);
    if (entries_.size() > kRemembered) entries_.resize(kRemembered);
    return replace_file(AT_FDCWD, path_, join(entries_, "\n"), 0600);
  }

 private:
  static constexpr size_t kMaxBytes = 1U << 16U;

  std::string path_;
  std::vector<std::string> entries_;
};

}  // namespace

Result<std::optional<Template>> find_or_make_warm_template(const TemplateRequest& request,
                                                           const WarmContent& content) {
  const std::string key = sha256_of(template_key(TRY(inputs_of(request))) + "\n" + content.digest);
  const TemplateStore store = warm_templates(request.vm_directory);
  if (auto found = store.find(key)) return found;
  WarmRequests requests(request.vm_directory);
  const std::string failed = "failed " + key;
  if (requests.contains(failed)) return std::nullopt;
  if (!requests.contains(key)) {
    TRY(requests.add(key));
    return std::nullopt;
  }
  auto made =
      store.make(key, request.job.memory_mib << 20U, describe(request) + ", with a container",
                 TemplateStore::Wait::kNo, [&](const TemplateStore::Files& files) {
                   return TemplateMachine(request, files, &content).run();
                 });
  if (!made) TRY(requests.add(failed));
  return made;
}

Result<Template> find_or_make_template(const TemplateRequest& request) {
  const std::string key = template_key(TRY(inputs_of(request)));
  const TemplateStore store(request.vm_directory);
  if (auto found = store.find(key)) return std::move(*found);
  auto made = TRY(store.make(
      key, request.job.memory_mib << 20U, describe(request), TemplateStore::Wait::kYes,
      [&](const TemplateStore::Files& files) { return TemplateMachine(request, files).run(); }));
  return std::move(*made);
}

}  // namespace trivet::payload::microvm
