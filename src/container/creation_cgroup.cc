// The cgroup of a container that is being made: its place, how the init gets into it, its devices.
#include <algorithm>
#include <cerrno>

#include "container/creation.h"

namespace trivet::container {

namespace {

// Whether anything but device rules is asked for, which a user namespace makes pointless.
bool has_limits(const oci::Resources& resources) {
  return resources.memory || resources.cpu || resources.pids_limit || resources.block_io ||
         !resources.hugepage_limits.empty() || resources.network || !resources.rdma.empty() ||
         !resources.unified.empty();
}

}  // namespace

// Those of a shell that is the payload's own, around a machine, nobody has asked for.
bool Creation::asks_for_limits() const {
  std::optional<oci::Resources> resources = spec_.linux_config->resources;
  if (record_.own_shell) {
    const auto asked = oci::parse_spec(options_.config_json);
    if (asked) resources = asked->linux_config->resources;
  }
  return resources && has_limits(*resources);
}

// An ordinary user whom no cgroup was delegated to: as long as no limit is asked for, nothing is
// lost.
bool Creation::can_do_without_cgroup(const Error& error) const {
  const int number = error.errnum();
  const bool denied = number == EACCES || number == EPERM || number == EROFS;
  return cgroup::is_ordinary_user() && denied && !asks_for_limits();
}

// What a container finds mounted has to be its own.
cgroup::Cpuset Creation::needed_cpuset() const {
  const oci::Linux& config = *spec_.linux_config;
  const auto& cpu = config.resources ? config.resources->cpu : std::nullopt;
  const bool is_limited = cpu && (!cpu->cpus.empty() || !cpu->mems.empty());
  const bool is_seen = std::ranges::any_of(spec_.mounts, [](const oci::Mount& mount) {
    return mount.type == "cgroup" || mount.type == "cgroup2";
  });
  return is_limited || is_seen ? cgroup::Cpuset::kAlways : cgroup::Cpuset::kWhenLimited;
}

Result<> Creation::make_cgroup() {
  if (options_.cgroup_driver == cgroup::Driver::kDisabled) return {};
  const cgroup::Layout layout =
      options_.cgroup_layout != nullptr ? *options_.cgroup_layout : TRY(cgroup::Layout::detect());
  auto made = cgroup::Cgroup::create(layout, spec_.linux_config->cgroups_path, options_.id,
                                     options_.cgroup_driver, needed_cpuset());
  if (!made && can_do_without_cgroup(made.error())) {
    if (options_.on_warning) {
      options_.on_warning("without a cgroup: none is delegated to this user; " +
                          made.error().message());
    }
    return {};
  }
  if (!made) {
    Error error = std::move(made).error().in("make the cgroup");
    if (!cgroup::is_ordinary_user()) return std::unexpected(std::move(error));
    return std::unexpected(std::move(error).hint(
        "limits need a part of the cgroup tree that is this user's: cgroup v2, "
        "and systemd or root to delegate it"));
  }
  cgroup_ = std::move(*made);
  rollback_.add([this] { return cgroup_->remove(); });
  if (const auto& limits = spec_.linux_config->resources; limits && !cgroup_->is_scope()) {
    TRY(cgroup_->prepare(*limits));
  }
  record_.cgroup_paths = cgroup_->paths();
  return {};
}

Result<> Creation::open_cgroup(Launch& launch) {
  if (!cgroup_ || cgroup_->is_scope()) return {};
  launch.cgroup_directory = TRY(cgroup_->v2_directory_fd());
  launch.options.cgroup_fd = launch.cgroup_directory.get();
  if (launch.cgroup_directory) return {};
  launch.cgroup_fds = TRY(cgroup_->open_join_fds());
  for (const UniqueFd& fd : launch.cgroup_fds) {
    launch.fds.cgroup.push_back(fd.get());
    launch.inherit.push_back(fd.get());
  }
  return {};
}

// The init waits: its cgroup namespace has to begin inside the scope.
Result<> Creation::start_scope() {
  if (!cgroup_ || !cgroup_->is_scope()) return {};
  TRY_IN(cgroup_->start_scope(init_.pid, options_.id,
                              spec_.linux_config->resources.value_or(oci::Resources{}),
                              spec_.annotations),
         "make the cgroup");
  return send_go(sync_.parent.get());
}

// The stage has made its device nodes when it speaks for the first time after its mounts; hooks
// that give access to further devices come later.
Result<> Creation::restrict_devices() {
  if (devices_restricted_ || !cgroup_ || !spec_.linux_config->resources) return {};
  devices_restricted_ = true;
  return cgroup_->apply_devices(spec_.linux_config->resources->devices);
}

}  // namespace trivet::container
