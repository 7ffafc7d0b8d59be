// Making a container's cgroup, joining it and taking it away.
#include "linux/cgroup.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/text.h"
#include "linux/cgroup_files.h"

namespace trivet::cgroup {

namespace {

constexpr std::chrono::seconds kRemoveTimeout{10};

// The controllers that `stats` and the OOM watch read. Others are enabled when a limit needs them.
constexpr std::string_view kWatchedControllers[] = {"cpu", "memory", "pids", "io"};

// "/a//b/./c" to "/a/b/c", "a/b" to "/a/b".
Result<std::string> clean_path(const std::string& path) {
  std::string clean;
  for (const std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return fail(ErrorCode::kInvalidArgument, "cgroup path \"{}\" contains \"..\"", path);
    }
    clean += "/" + part;
  }
  if (clean.empty()) {
    return fail(ErrorCode::kInvalidArgument, "cgroup path \"{}\" is no path below the root cgroup",
                path);
  }
  return clean;
}

bool is_scope_form(const std::string& cgroups_path) {
  return std::ranges::count(cgroups_path, ':') == 2 && cgroups_path.find('/') == std::string::npos;
}

// Our own cgroup, or what is above it.
std::string directory_of(const Hierarchy& hierarchy, const std::string& path) {
  return path == "/" ? hierarchy.mount_point : hierarchy.mount_point + path;
}

// Where the cgroup is in one hierarchy.
std::string directory_in(const Hierarchy& hierarchy, const std::string& cgroups_path,
                         const std::string& clean) {
  const bool absolute = cgroups_path.empty() ? !is_ordinary_user() : cgroups_path.front() == '/';
  if (absolute) return hierarchy.mount_point + clean;
  std::string own = hierarchy.own_path;
  // Our own v2 cgroup holds us, so children of it would get no controllers.
  if (hierarchy.v2) own.erase(own.find_last_of('/'));
  return directory_of(hierarchy, own) + clean;
}

// A directory that was there before may be a crashed container's; it must not hold processes.
Result<> check_unused(const std::string& directory) {
  if (TRY(processes_below(directory)).empty()) return {};
  return fail(ErrorCode::kAlreadyExists, "cgroup \"{}\" exists and holds processes", directory);
}

// Turns the watched controllers on in every parent of a v2 directory. What fails here matters only
// when a limit needs it, and then apply() reports it.
void enable_watched(const Hierarchy& hierarchy, const std::string& directory) {
  for (const std::string_view controller : kWatchedControllers) {
    if (!has_controller(hierarchy, controller)) continue;
    (void)enable_controller(hierarchy.mount_point, directory, std::string(controller));
  }
}

// Makes the cgroup in one hierarchy. Once our directory is there, nobody can remove its parents.
Result<> create_in(const Hierarchy& hierarchy, const std::string& directory, Rollback& rollback) {
  const bool is_new = TRY(make_directory(hierarchy.mount_point, directory));
  if (is_new) {
    rollback.add([directory]() -> Result<> {
      TRY(remove_directories(directory));
      remove_marked_parents(directory);
      return {};
    });
  } else {
    TRY(check_unused(directory));
    if (has_controller(hierarchy, "freezer"))
      TRY(write_control(directory, "freezer.state", "THAWED"));
  }
  if (has_controller(hierarchy, "cpuset") && !hierarchy.v2) {
    TRY(inherit_cpuset(hierarchy.mount_point, directory));
  }
  if (hierarchy.v2) enable_watched(hierarchy, directory);
  return {};
}

// The parent's CPUs and memory nodes are what a new cpuset starts with, and what our children have
// anyway when that is where we are.
bool inherits_cpuset(const Hierarchy& hierarchy, const std::string& directory) {
  return !hierarchy.v2 && hierarchy.controllers == std::vector<std::string>{"cpuset"} &&
         parent_of(directory) == directory_of(hierarchy, hierarchy.own_path);
}

// The init of a creation that was killed is on its way out; others' processes stay.
bool remove_when_empty(const std::string& directory) {
  constexpr std::chrono::milliseconds kStep{2};
  for (std::chrono::milliseconds waited{0}; waited < std::chrono::seconds(1); waited += kStep) {
    if (rmdir(directory.c_str()) == 0) return true;
    if (errno != EBUSY) return false;
    std::this_thread::sleep_for(kStep);
  }
  return false;
}

}  // namespace

Result<Cgroup> Cgroup::create(const Layout& layout, const std::string& cgroups_path,
                              const std::string& id, Driver driver, Cpuset cpuset) {
  if (driver == Driver::kSystemd) return name_scope(layout, cgroups_path, id);
  const std::string clean = TRY(clean_path(cgroups_path.empty() ? "/trivet-" + id : cgroups_path));
  Paths paths;
  paths.mode = layout.mode;
  Rollback rollback;
  for (const Hierarchy& hierarchy : layout.hierarchies) {
    const std::string directory = directory_in(hierarchy, cgroups_path, clean);
    for (const std::string& controller : hierarchy.controllers) {
      paths.by_controller[controller] = directory;
    }
    if (hierarchy.v2) paths.by_controller["unified"] = directory;
    if (hierarchy.v2 && layout.mode == Mode::kHybrid) continue;
    if (cpuset == Cpuset::kWhenLimited && inherits_cpuset(hierarchy, directory)) continue;
    auto made = create_in(hierarchy, directory, rollback);
    if (!made) return std::unexpected(rollback.fail(std::move(made).error()));
    paths.directories.push_back(directory);
  }
  Cgroup cgroup(std::move(paths));
  if (!cgroup.is_in_reach()) {
    return std::unexpected(
        rollback.fail(Error::from_errno(EACCES, fmt::format("move a process to cgroup \"{}\"",
                                                            cgroup.paths_.directories.front()))));
  }
  rollback.commit();
  cgroup.created_ = true;
  return cgroup;
}

void Cgroup::remove_unused(const Layout& layout, const std::string& cgroups_path,
                           const std::string& id) {
  // Which driver it was is not known; without systemd such a path is one like any other.
  if (is_scope_form(cgroups_path)) remove_unused_scope(layout, cgroups_path, id);
  const auto clean = clean_path(cgroups_path.empty() ? "/trivet-" + id : cgroups_path);
  if (!clean) return;
  for (const Hierarchy& hierarchy : layout.hierarchies) {
    const std::string directory = directory_in(hierarchy, cgroups_path, *clean);
    if (remove_when_empty(directory)) remove_marked_parents(directory);
  }
}

Result<Cgroup> Cgroup::subgroup(const std::string& path) const {
  if (path.empty() || path == "/") return attach(paths_);
  const std::string clean = TRY(clean_path(path));
  Paths paths = paths_;
  bool found = false;
  for (std::string& directory : paths.directories) {
    if (!exists(directory + clean)) continue;
    found = true;
    directory += clean;
  }
  if (!found) return fail(ErrorCode::kNotFound, "there is no cgroup \"{}\" in it", path);
  Cgroup group = attach(std::move(paths));
  group.scope_subgroup_ = clean;
  return group;
}

Cgroup Cgroup::attach(Paths paths) {
  return Cgroup(std::move(paths));
}

std::string Cgroup::directory_of(const std::string& controller) const {
  const auto found = paths_.by_controller.find(controller);
  return found == paths_.by_controller.end() ? std::string() : found->second;
}

Result<std::vector<UniqueFd>> Cgroup::open_join_fds() const {
  const std::string unified = directory_of("unified");
  std::vector<UniqueFd> fds;
  for (const std::string& directory : paths_.directories) {
    const char* file = directory == unified ? "/cgroup.procs" : "/tasks";
    fds.push_back(TRY(open_file(directory + file, O_WRONLY)));
  }
  return fds;
}

Result<UniqueFd> Cgroup::v2_directory_fd() const {
  if (paths_.mode != Mode::kV2 || paths_.directories.empty()) return UniqueFd();
  return open_file(paths_.directories.front(), O_PATH | O_DIRECTORY);
}

Result<> Cgroup::add_process(pid_t pid) const {
  for (const std::string& directory : paths_.directories) {
    TRY(write_control(directory, "cgroup.procs", fmt::format("{}", pid)));
  }
  return {};
}

// Also those that another process has brought in since.
std::vector<std::string> Cgroup::possible_directories() const {
  std::vector<std::string> directories = paths_.directories;
  for (const auto& [controller, directory] : paths_.by_controller) {
    if (std::ranges::find(directories, directory) == directories.end()) {
      directories.push_back(directory);
    }
  }
  return directories;
}

// The hierarchies are emptied in one go, by rmdir alone when the container has ended by itself.
Result<> Cgroup::remove() const {
  if (awaits_start_) return {};
  if (paths_.scope) TRY(stop_scope());
  for (const std::string& directory : possible_directories()) {
    auto removed = remove_directories(directory);
    if (!removed && removed.error().errnum() == EBUSY) {
      TRY(kill_all());
      // A killed process leaves its cgroups a moment after it has left cgroup.procs.
      (void)TRY(poll_until(kRemoveTimeout, [&]() -> Result<bool> {
        removed = remove_directories(directory);
        return removed.has_value() || removed.error().errnum() != EBUSY;
      }));
    }
    if (!removed) return removed;
    remove_marked_parents(directory);
  }
  return {};
}

}  // namespace trivet::cgroup
