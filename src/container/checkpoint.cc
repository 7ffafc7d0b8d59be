#include "container/checkpoint.h"

#include <array>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "container/criu.h"

namespace trivet::container {

namespace {

Result<std::string> read_link(const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t size = readlink(path.c_str(), buffer.data(), buffer.size());
  if (size < 0) return fail_errno("readlink \"{}\"", path);
  return std::string(buffer.data(), static_cast<size_t>(size));
}

bool is_null_device(const struct stat& status) {
  return S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

// The mount points as CRIU sees them, without links on the way; the names are the targets as the
// configuration has them, which restore() knows too.
Result<> add_host_mounts(const std::vector<HostMount>& mounts, pid_t pid, criu::Options& options) {
  const UniqueFd root = TRY(open_file(fmt::format("/proc/{}/root", pid), O_PATH | O_DIRECTORY));
  for (const HostMount& mount : mounts) {
    const auto fd = open_in_root(root.get(), mount.target, O_PATH);
    if (!fd && fd.error().errnum() == ENOENT) continue;
    if (!fd) return std::unexpected(fd.error());
    struct stat status{};
    if (fstat(fd->get(), &status) != 0) return fail_errno("fstat \"{}\"", mount.target);
    if (mount.is_mask && !is_null_device(status)) continue;
    const std::string point = TRY(read_link(fmt::format("/proc/self/fd/{}", fd->get())));
    options.external_mounts.emplace_back(point, mount.target);
  }
  return {};
}

// Whether the mount that a descriptor is on is one of the container's (proc(5): fdinfo, mountinfo).
Result<std::optional<int64_t>> foreign_mount(pid_t pid, int number) {
  const std::string info = TRY(read_file(fmt::format("/proc/{}/fdinfo/{}", pid, number)));
  const size_t begin = info.find("mnt_id:");
  if (begin == std::string::npos) return std::nullopt;
  const std::string line = info.substr(begin + 7, info.find('\n', begin) - begin - 7);
  const int64_t id = TRY(parse_int(trim(line)));
  for (const std::string& mount :
       split(TRY(read_file(fmt::format("/proc/{}/mountinfo", pid))), '\n')) {
    if (mount.starts_with(fmt::format("{} ", id))) return std::nullopt;
  }
  return id;
}

// CRIU's name of what a descriptor of the init is, if an engine has the other end of it or it is a
// file of the host; otherwise it is in the image.
Result<std::string> external_name(pid_t pid, int number, criu::Options& options) {
  const std::string path = fmt::format("/proc/{}/fd/{}", pid, number);
  auto target = read_link(path);
  if (!target) return target.error().errnum() == ENOENT ? Result<std::string>("") : target;
  if (target->starts_with("pipe:")) return target;
  if (!target->starts_with('/')) return "";
  const auto mount = TRY(foreign_mount(pid, number));
  if (!mount) return "";
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
  std::string name = fmt::format("file[{:x}:{:x}]", *mount, status.st_ino);
  options.externals.push_back(name);
  return name;
}

Result<> write_descriptors(int directory, pid_t pid, criu::Options& options) {
  Json names = Json::array();
  for (const int number : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    names.push_back(TRY(external_name(pid, number, options)));
  }
  return replace_file(directory, kDescriptorsFile, names.dump(), 0600);
}

Result<> add_shared_namespaces(const oci::Spec& spec, criu::Options& options) {
  for (const SharedNamespace& shared : plan_shared_namespaces(spec)) {
    struct stat status{};
    if (stat(shared.path.c_str(), &status) != 0) {
      return fail_errno("linux.namespaces: \"{}\"", shared.path);
    }
    options.externals.push_back(fmt::format("{}[{}]:{}", shared.kind, status.st_ino, shared.name));
  }
  return {};
}

std::string freezer_of(const cgroup::Cgroup* cgroup) {
  if (cgroup == nullptr) return "";
  const cgroup::Paths& paths = cgroup->paths();
  const auto found =
      paths.by_controller.find(paths.mode == cgroup::Mode::kV2 ? "unified" : "freezer");
  return found == paths.by_controller.end() ? "" : found->second;
}

Result<std::vector<HostMount>> host_mounts_of(const Container& container, const oci::Spec& spec) {
  const RootInputs inputs{
      .bundle = container.bundle(),
      .overlay = std::nullopt,
      .overlay_mount_point = "",
      .no_pivot = false,
      .cgroup = container.cgroup() != nullptr ? &container.cgroup()->paths() : nullptr};
  return plan_host_mounts(TRY(plan_root(spec, inputs)));
}

Result<criu::Options> dump_options(const Container& container, const CheckpointOptions& options,
                                   int image_directory) {
  const oci::Spec spec = TRY(container.load_spec());
  if (spec.linux_config->find_namespace(oci::NamespaceType::kMount) == nullptr) {
    return fail(ErrorCode::kUnsupported, "it has no mount namespace, which a checkpoint needs");
  }
  criu::Options result = options.criu;
  const pid_t pid = container.init().pid;
  result.pid = pid;
  result.images_directory = image_directory;
  result.log_file = "dump.log";
  result.root = container.state().rootfs;
  result.freeze_cgroup = freezer_of(container.cgroup());
  result.track_memory = options.pre_dump || !result.parent_images.empty();
  TRY(add_shared_namespaces(spec, result));
  if (options.pre_dump) return result;
  TRY(add_host_mounts(TRY(host_mounts_of(container, spec)), pid, result));
  TRY(write_descriptors(image_directory, pid, result));
  return result;
}

Result<> dump(const Container& container, const CheckpointOptions& options) {
  TRY(make_dirs(options.image_directory, 0700));
  TRY(make_dirs(log_directory(options), 0700));
  const UniqueFd images = TRY(open_file(options.image_directory, O_RDONLY | O_DIRECTORY));
  const UniqueFd work = TRY(open_file(log_directory(options), O_RDONLY | O_DIRECTORY));
  criu::Options request = TRY(dump_options(container, options, images.get()));
  request.work_directory = work.get();
  criu::Surroundings surroundings;
  surroundings.keep = {images.get(), work.get()};
  const auto type = options.pre_dump ? criu::RequestType::kPreDump : criu::RequestType::kDump;
  const auto answer =
      criu::run(type, request, surroundings, log_directory(options),
                [](const criu::Answer&, const UniqueFd&) -> Result<> { return {}; });
  if (!answer) return std::unexpected(answer.error());
  return {};
}

}  // namespace

const std::string& log_directory(const CheckpointOptions& options) {
  return options.work_directory.empty() ? options.image_directory : options.work_directory;
}

Result<std::vector<HostMount>> plan_host_mounts(const RootPlan& plan) {
  std::vector<HostMount> mounts;
  for (const MountPlan& mount : plan.mounts) {
    if (mount.id_map) {
      return fail(ErrorCode::kUnsupported, "mount \"{}\": CRIU does not know of idmapped mounts",
                  mount.target);
    }
    if (mount.kind != stage::MountKind::kBind) continue;
    mounts.push_back({.target = mount.target, .source = mount.source});
  }
  for (const DevicePlan& device : plan.devices) {
    if (device.bind) mounts.push_back({.target = device.path, .source = device.path});
  }
  for (const std::string& path : plan.masked_paths) {
    mounts.push_back({.target = path, .source = "/dev/null", .is_mask = true});
  }
  return mounts;
}

std::vector<SharedNamespace> plan_shared_namespaces(const oci::Spec& spec) {
  struct Kind {
    oci::NamespaceType type;
    const char* kind;
    const char* name;
  };
  constexpr std::array<Kind, 2> kKinds{{
      {oci::NamespaceType::kNetwork, "net", "extRootNetNS"},
      {oci::NamespaceType::kPid, "pid", "extRootPidNS"},
  }};
  std::vector<SharedNamespace> shared;
  for (const auto& [type, kind, name] : kKinds) {
    const oci::Namespace* entry = spec.linux_config->find_namespace(type);
    if (entry == nullptr || entry->path.empty()) continue;
    shared.push_back({.path = entry->path, .kind = kind, .name = name});
  }
  return shared;
}

Result<> checkpoint(const Container& container, const CheckpointOptions& options) {
  const Status status = container.status();
  if (status != Status::kRunning && status != Status::kPaused) {
    return fail(ErrorCode::kWrongState, "cannot checkpoint container \"{}\": it is {}",
                container.id(), status_name(status));
  }
  auto done = dump(container, options);
  if (done) return {};
  // A criu that was killed leaves it frozen.
  const cgroup::Cgroup* cgroup = container.cgroup();
  if (cgroup != nullptr && status == Status::kRunning && cgroup->is_frozen().value_or(false)) {
    (void)cgroup->thaw();
  }
  return std::unexpected(std::move(done).error().in(
      fmt::format("cannot checkpoint container \"{}\"", container.id())));
}

}  // namespace trivet::container
