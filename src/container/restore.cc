// restore(): a creation whose init comes out of an image.
#include <algorithm>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/paths.h"
#include "base/text.h"
#include "container/checkpoint.h"
#include "container/creation.h"
#include "container/criu.h"
#include "container/hooks.h"
#include "container/state_store.h"

namespace trivet::container {

namespace {

// What is below another mount is in the image with that one's files, or there already.
bool is_in_the_root_itself(const RootPlan& plan, const std::string& target) {
  return std::ranges::none_of(plan.mounts, [&](const MountPlan& mount) {
    return mount.target != "/" && is_below(target, mount.target);
  });
}

Result<> make_file_in_root(int root, const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const UniqueFd parent = TRY(make_dirs_in_root(root, path.substr(0, slash + 1)));
  const auto made = open_in_root(root, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
  if (made || made.error().errnum() == EEXIST) return {};
  return std::unexpected(made.error());
}

// The root that it is restored on need not be the very one that it was on, where they were made.
Result<> make_mount_points(const RootPlan& plan, const std::string& rootfs) {
  const UniqueFd root = TRY(open_file(rootfs, O_PATH | O_DIRECTORY));
  for (const MountPlan& mount : plan.mounts) {
    if (!is_in_the_root_itself(plan, mount.target)) continue;
    struct stat status{};
    const bool is_file = mount.kind == stage::MountKind::kBind &&
                         stat(mount.source.c_str(), &status) == 0 && !S_ISDIR(status.st_mode);
    if (is_file) {
      TRY(make_file_in_root(root.get(), mount.target));
    } else {
      TRY(make_dirs_in_root(root.get(), mount.target));
    }
  }
  return {};
}

// The init's 0, 1 and 2 become ours, if they came from outside.
Result<> inherit_stdio(int images, criu::Options& options) {
  const std::string text = TRY_IN(read_file_at(images, kDescriptorsFile), "the image");
  const Json names = TRY(parse_json(text, fmt::format("the image: \"{}\"", kDescriptorsFile)));
  if (!names.is_array()) {
    return fail(ErrorCode::kCorrupt, "the image: \"{}\" is no list", kDescriptorsFile);
  }
  for (size_t number = 0; number < std::min<size_t>(names.size(), 3); ++number) {
    if (!names[number].is_string()) continue;
    const auto name = names[number].get<std::string>();
    // runc writes the paths of other files too, for which it does nothing.
    if (!name.starts_with("pipe:") && !name.starts_with("file[")) continue;
    options.inherited.emplace_back(name, static_cast<int>(number));
  }
  return {};
}

}  // namespace

Result<> Creation::adopt_restored(pid_t pid) {
  init_.pid = pid;
  init_.pidfd = TRY(open_pidfd(pid));
  rollback_.add([this] {
    (void)send_signal(init_.pidfd.get(), SIGKILL);
    (void)reap_child(init_.pidfd.get());
    return Result<>{};
  });
  TRY(join_resctrl());
  TRY(limit());
  return restrict_devices();
}

// While its processes exist and don't run yet.
Result<> Creation::handle_notification(const criu::Answer& notification, UniqueFd received) {
  if (notification.script == "post-restore") return adopt_restored(notification.pid);
  if (notification.script == "orphan-pts-master") return deliver_console(std::move(received));
  if (notification.script != "setup-namespaces") return {};
  hooks_begun_ = true;
  record_.init.pid = notification.pid;
  const std::string state = oci::print_state_line(make_state(record_, Status::kCreated));
  TRY(run_hooks("prestart", spec_.hooks.prestart, state));
  return run_hooks("createRuntime", spec_.hooks.create_runtime, state);
}

Result<> Creation::restore_init() {
  if (cgroup_ && cgroup_->is_scope()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "a scope of systemd can't be made for restored processes")
            .hint("restore with --cgroup-manager cgroupfs"));
  }
  const UniqueFd images =
      TRY_IN(open_file(image_->image_directory, O_RDONLY | O_DIRECTORY), "the image");
  TRY(make_dirs(log_directory(*image_), 0700));
  const UniqueFd work = TRY(open_file(log_directory(*image_), O_RDONLY | O_DIRECTORY));
  TRY(make_mount_points(root_, record_.rootfs));

  criu::Options options = image_->criu;
  options.images_directory = images.get();
  options.work_directory = work.get();
  options.log_file = "restore.log";
  options.root = directory_ + "/rootfs";
  options.evasive_devices = true;
  options.restore_as_sibling = true;
  for (HostMount& mount : TRY(plan_host_mounts(root_))) {
    options.external_mounts.emplace_back(std::move(mount.target), std::move(mount.source));
  }
  TRY(inherit_stdio(images.get(), options));

  criu::Surroundings surroundings;
  surroundings.keep = {images.get(), work.get()};
  for (const SharedNamespace& shared : plan_shared_namespaces(spec_)) {
    namespace_fds_.push_back(TRY_IN(open_file(shared.path, O_RDONLY), "linux.namespaces"));
    options.inherited.emplace_back(shared.name, namespace_fds_.back().get());
    surroundings.keep.push_back(namespace_fds_.back().get());
  }
  std::vector<UniqueFd> cgroup_fds;
  if (cgroup_) cgroup_fds = TRY(cgroup_->open_join_fds());
  for (const UniqueFd& fd : cgroup_fds) surroundings.cgroup_fds.push_back(fd.get());
  const oci::Namespace* cgroups = spec_.linux_config->find_namespace(oci::NamespaceType::kCgroup);
  surroundings.new_cgroup_namespace = cgroups != nullptr && cgroups->path.empty();
  surroundings.bind_source = record_.rootfs;
  surroundings.bind_target = options.root;
  if (mkdir(options.root.c_str(), 0700) != 0) return fail_errno("mkdir \"{}\"", options.root);
  // Processes that are half restored don't end with us. Whoever removes what we leave when we are
  // killed finds them by their cgroup.
  TRY(write_record(directory_, record_));

  const auto answer =
      criu::run(criu::RequestType::kRestore, options, surroundings, log_directory(*image_),
                [this](const criu::Answer& notification, UniqueFd received) {
                  return handle_notification(notification, std::move(received));
                });
  if (!answer) return std::unexpected(answer.error());
  if (init_.pid == 0) return fail(ErrorCode::kSystem, "criu did not tell of the restored init");
  return {};
}

Result<Container> restore(const oci::Spec& spec, const CreateOptions& options,
                          const CheckpointOptions& image) {
  return Creation(spec, options, &image).run();
}

}  // namespace trivet::container
