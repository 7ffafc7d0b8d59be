#include "payload/microvm/pod.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "guest/protocol.h"
#include "payload/microvm/image_disk.h"
#include "payload/microvm/kernel_store.h"

namespace trivet::payload::microvm {

namespace {

constexpr size_t kFileLimit = 1U << 20U;  // of one that is copied
constexpr uint64_t kMib = uint64_t{1} << 20U;

// Of the machine's kernel and agent, and of a container that has no limit.
constexpr uint64_t kGuestMib = 64;
constexpr uint64_t kUnlimitedMib = 256;

// Places of QEMU's machine type microvm, with ACPI and without, and what takes some of them besides
// images: the agent's line, the disk for what is written, shared files, the network.
constexpr size_t kAcpiDevices = 24;
constexpr size_t kDevices = 8;
constexpr size_t kOtherDevices = 4;

// Whether there is anything but directories, which are listed with their parents first.
Result<bool> has_files(const std::string& directory, const std::string& below,
                       std::vector<std::string>& directories) {
  for (const std::string& name : TRY(list_dir(AT_FDCWD, directory + '/' + below))) {
    const std::string inner = below.empty() ? name : below + '/' + name;
    const std::string path = directory + '/' + inner;
    struct stat status{};
    if (lstat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
    if (!S_ISDIR(status.st_mode)) return true;
    directories.push_back(inner);
    if (TRY(has_files(directory, inner, directories))) return true;
  }
  return false;
}

std::string device_name(size_t index) {
  return fmt::format("vd{}", static_cast<char>('a' + index));
}

uint64_t memory_of(const MemberSource& member) {
  const auto& resources = member.spec.linux_config->resources;
  const auto limit = resources && resources->memory ? resources->memory->limit : std::nullopt;
  if (!limit || *limit <= 0) return kUnlimitedMib;
  return (static_cast<uint64_t>(*limit) + kMib - 1) / kMib;
}

bool is_sized(const oci::Spec& infra) {
  const auto& resources = infra.linux_config->resources;
  const bool limited = resources && resources->memory && resources->memory->limit.value_or(0) > 0;
  return limited || infra.annotations.contains("krun.ram_mib") ||
         (infra.vm && infra.vm->hw_config && infra.vm->hw_config->memory);
}

Result<std::vector<guest::InlineFile>> read_files(const std::vector<CopiedFile>& files) {
  std::vector<guest::InlineFile> read;
  for (const CopiedFile& file : files) {
    read.push_back(
        { .name = file.name, .mode = 0644, .content = TRY(read_file(file.source, kFileLimit)) });
  }
  return read;
}

bool is_layered(const MemberSource& member) {
  return member.overlay != nullptr && member.overlay->has_value();
}

}  // namespace

Result<> check_pod_images(const std::string& data_directory, size_t count) {
  const auto kernel = current_kernel(vm_directory(data_directory));
  if (!kernel) return {};
  const size_t room = (kernel->acpi ? kAcpiDevices : kDevices) - kOtherDevices;
  if (count <= room) return {};
  return std::unexpected(
      Error(ErrorCode::kLimitExceeded,
            fmt::format("the pod has {} images, and a microVM with the kernel {} has room for {}",
                        count, kernel->release, room))
          .hint("let containers share an image, or be microVMs of their own: the annotations "
                "dev.trivet.isolation/CONTAINER in place of runtimeClassName"));
}

Result<Sizes> plan_pod_sizes(const oci::Spec& infra, const PodSource& pod,
                             const SizeLimits& limits) {
  Sizes sizes = TRY(plan_sizes(infra, limits));
  uint32_t vcpus = 0;
  uint64_t memory_mib = kGuestMib;
  for (const MemberSource& member : pod.members) {
    vcpus += TRY(plan_sizes(member.spec, limits))
    .vcpus;
    memory_mib += memory_of(member);
  }
  // Init containers and the others don't run at once, so that this is rather more than needed; the
  // host gives memory only when it is used.
  if (!is_sized(infra)) {
    sizes.memory_mib = std::min(std::max(memory_mib, kDefaultMemoryMib), limits.memory_mib);
  }
  const bool has_vcpus = sizes.vcpus != kDefaultVcpus;
  if (!has_vcpus && vcpus > pod.members.size()) sizes.vcpus = std::min(vcpus, limits.vcpus);
  return sizes;
}

Result<PodContent> PodContent::plan(const PodSource& pod) {
  if (pod.members.empty() || pod.members.size() > guest::kMaxContainers) {
    return fail(ErrorCode::kLimitExceeded, "a microVM holds 1 to {} containers of a pod, not {}",
                guest::kMaxContainers, pod.members.size());
  }
  PodContent content(pod);
  TRY(content.find_volumes());
  for (const MemberSource& member : pod.members) TRY(content.add_member(member));
  return content;
}

Result<> PodContent::find_volumes() {
  places_.directory = pod_->volumes_directory;
  volumes_.push_back(
      {.name = kShmVolume, .mode = 01777, .in_memory = true, .size = pod_->shm_size});
  if (exists(places_.directory)) {
    for (const std::string& name : TRY(list_dir(AT_FDCWD, places_.directory))) {
      const std::string path = places_.directory + '/' + name;
      struct stat status{};
      if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
      const auto memory = pod_->memory_volumes.find(name);
      const bool in_memory = memory != pod_->memory_volumes.end();
      std::vector<std::string> directories;
      if (!S_ISDIR(status.st_mode) || TRY(has_files(path, "", directories))) continue;
      volumes_.push_back({.name = name,
                          .mode = status.st_mode & 07777U,
                          .uid = status.st_uid,
                          .gid = status.st_gid,
                          .in_memory = in_memory,
                          .size = in_memory ? memory->second : 0,
                          .directories = std::move(directories)});
    }
  }
  for (const guest::Volume& volume : volumes_) places_.inside.insert(volume.name);
  return {};
}

Result<> PodContent::add_member(const MemberSource& member) {
  const auto number = static_cast<uint8_t>(guests_.size() + 1);
  GuestPlan guest = TRY(plan_guest(member.spec, {.bundle = member.bundle,
                                                 .private_directory = member.bundle,
                                                 .root_is_shared = !is_layered(member),
                                                 .number = number,
                                                 .pod_directory = pod_->directory,
                                                 .volumes = &places_}));
  guest.guest.hostname.clear();  // that of the pod
  bool lower_is_shared = false;
  if (is_layered(member)) {
    const std::vector<std::string>& lower = (*member.overlay)->lower_directories;
    lower_is_shared = !image_disk_key(lower);
    // A directory of the user's, which may change at any time: no image of it would be true.
    if (lower_is_shared) {
      guest.shares.push_back({.destination = fmt::format("/share/{}-lower", unsigned{number}),
                              .type = "bind",
                              .source = lower.front(),
                              .options = {"rbind", "rprivate", "ro"}});
    }
  }
  lower_is_shared_.push_back(lower_is_shared);
  guests_.push_back(std::move(guest));
  return {};
}

Result<GuestPlan> PodContent::plan_infra(const oci::Spec& spec, const std::string& bundle) const {
  GuestPlan guest = TRY(plan_guest(spec, {.bundle = bundle,
                                          .private_directory = bundle,
                                          .pod_directory = pod_->directory,
                                          .volumes = &places_}));
  guest.guest.root = oci::Root{.path = guest::kInfraRoot, .readonly = true};
  guest.guest.linux_config->resources.reset();  // the pod's: they are the machine's size
  return guest;
}

std::vector<oci::Mount> PodContent::shares() const {
  std::vector<oci::Mount> shares;
  for (const GuestPlan& guest : guests_) {
    shares.insert(shares.end(), guest.shares.begin(), guest.shares.end());
  }
  return shares;
}

std::vector<std::string> PodContent::warnings() const {
  std::vector<std::string> warnings;
  for (const GuestPlan& guest : guests_) {
    for (const std::string& text : guest.warnings) {
      if (std::ranges::find(warnings, text) == warnings.end()) warnings.push_back(text);
    }
  }
  return warnings;
}

Result<PodContent::Disks> PodContent::add_disks(const std::string& data_directory, UniqueFd scratch,
                                                ProgramBuilder& builder) const {
  // As many as there are names for with one letter.
  constexpr size_t kMaxDisks = 26;
  Disks disks;
  std::map<std::string, std::string> devices;  // by the image's path
  for (size_t i = 0; i < pod_->members.size(); ++i) {
    disks.images.emplace_back();
    const MemberSource& member = pod_->members[i];
    if (!is_layered(member) || lower_is_shared_[i]) continue;
    ImageDisk image = TRY(image_disk(data_directory, (*member.overlay)->lower_directories));
    std::string& device = devices[image.path];
    if (device.empty()) {
      device = device_name(disks.disks.size());
      disks.disks.push_back({.fd = builder.add(std::move(image.fd)), .read_only = true});
    }
    disks.images.back() = device;
  }
  disks.scratch = device_name(disks.disks.size());
  disks.disks.push_back({.fd = builder.add(std::move(scratch)), .read_only = false});
  if (disks.disks.size() <= kMaxDisks) return disks;
  return fail(ErrorCode::kLimitExceeded, "a microVM has room for the images of {} containers",
              kMaxDisks - 1);
}

Result<std::vector<Member>> PodContent::make_members(const Disks& disks, bool share) const {
  std::vector<Member> members;
  for (size_t i = 0; i < guests_.size(); ++i) {
    Member member{.number = static_cast<uint8_t>(i + 1),
                  .terminal = pod_->members[i].spec.process->terminal};
    guest::CreateRequest& create = member.create;
    create.config = oci::print_spec(guests_[i].guest);
    create.lower_device = disks.images[i];
    if (lower_is_shared_[i]) create.lower_share = fmt::format("{}-lower", i + 1);
    create.share = share;
    create.blocks_signals = pod_->members[i].blocks_signals;
    create.files = TRY(read_files(guests_[i].files));
    create.joins = {"ipc", "uts"};
    if (pod_->share_pid) create.joins.emplace_back("pid");
    members.push_back(std::move(member));
  }
  return members;
}

}  // namespace trivet::payload::microvm
