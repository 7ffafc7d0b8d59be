// The data directory, and what its file system can do.
#include <cstdlib>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "doctor/trial.h"
#include <linux/magic.h>
#include <linux/mount.h>

namespace trivet::doctor {

namespace {

constexpr uint64_t kScarce = 512ULL << 20U;

// The directory itself, or what it would be made in.
std::string nearest_existing(std::string path) {
  while (!exists(path) && path.size() > 1) path.resize(std::max<size_t>(1, path.rfind('/')));
  return path;
}

// A directory for a trial, removed with all that is in it.
class Scratch {
 public:
  explicit Scratch(const std::string& data_dir)
      : path_(nearest_existing(data_dir) + "/.trivet-doctor-XXXXXX") {
    made_ = mkdtemp(path_.data()) != nullptr;
    errnum_ = made_ ? 0 : errno;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (made_) (void)remove_tree(AT_FDCWD, path_);
  }
  [[nodiscard]] int errnum() const { return errnum_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool made_ = false;
  int errnum_ = 0;
};

std::string file_system_name(const std::string& path) {
  struct statfs status{};
  if (statfs(path.c_str(), &status) != 0) return "unknown";
  switch (static_cast<unsigned long>(status.f_type)) {
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case XFS_SUPER_MAGIC:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlay";
    case NFS_SUPER_MAGIC:
      return "nfs";
    default:
      return fmt::format("file system {:x}", status.f_type);
  }
}

Result<> try_writing(const std::string& directory) {
  const UniqueFd fd = TRY(open_file(directory + "/file", O_WRONLY | O_CREAT | O_EXCL));
  TRY(write_all(fd.get(), std::string(65536, 'x'), directory));
  if (fsync(fd.get()) != 0) return fail_errno("fsync \"{}\"", directory);
  return {};
}

int try_overlay(const std::string& base) {
  if (const int entered = enter_namespaces(CLONE_NEWNS); entered != 0) return entered;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return errno;
  const std::string options =
      fmt::format("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work{1}", base,
                  geteuid() == 0 && getuid() == 0 ? "" : ",userxattr");
  const std::string merged = base + "/merged";
  if (mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) != 0) return errno;
  const int fd = open((merged + "/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  return fd >= 0 ? 0 : errno;
}

// Waits to be killed, in a user namespace with other ids.
pid_t spawn_mapped(Result<UniqueFd>& name_space) {
  int ready[2];
  if (pipe2(ready, O_CLOEXEC) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    const char done = unshare(CLONE_NEWUSER) == 0 ? 1 : 0;
    if (write(ready[1], &done, 1) == 1) pause();
    _exit(0);
  }
  char done = 0;
  const bool is_ready = child > 0 && read(ready[0], &done, 1) == 1 && done == 1;
  close(ready[0]);
  close(ready[1]);
  if (!is_ready) return child;
  const std::string proc = fmt::format("/proc/{}/", child);
  for (const char* file : {"uid_map", "gid_map"}) {
    (void)write_existing(AT_FDCWD, proc + file, "0 100000 65536");
  }
  name_space = open_file(proc + "ns/user", O_RDONLY);
  return child;
}

int try_idmapped(const std::string& directory) {
  Result<UniqueFd> name_space = fail(ErrorCode::kSystem, "none");
  const pid_t child = spawn_mapped(name_space);
  int failure = EPERM;
  if (name_space) {
    const auto tree = static_cast<int>(
        syscall(SYS_open_tree, AT_FDCWD, directory.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    struct mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_IDMAP;
    attributes.userns_fd = static_cast<uint64_t>(name_space->get());
    failure = tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes,
                                  sizeof(attributes)) != 0
                  ? errno
                  : 0;
  }
  if (child > 0) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  return failure;
}

}  // namespace

DoctorCheck check_data_directory(const std::string& data_dir) {
  DoctorCheck check = make_check("data-directory", "images, containers and volumes");
  const std::string existing = nearest_existing(data_dir);
  struct statvfs space{};
  if (statvfs(existing.c_str(), &space) != 0) {
    set_broken(check, fmt::format("statvfs \"{}\": {}", existing, errno_words(errno)), "");
    return check;
  }
  const uint64_t free = static_cast<uint64_t>(space.f_bavail) * space.f_frsize;
  check.found =
      fmt::format("{}: {}, {} free", data_dir, file_system_name(existing), format_size(free));
  const std::string fix =
      "make room: trivet prune, trivet image prune --all; or choose another with "
      "directories.data of config.yml";
  const Scratch scratch(data_dir);
  if (scratch.errnum() != 0) {
    set_broken(check,
               fmt::format("\"{}\" can't be written: {}", existing, errno_words(scratch.errnum())),
               fix);
  } else if (const auto written = try_writing(scratch.path()); !written) {
    set_broken(
        check,
        fmt::format("\"{}\" can't be written: {}", existing, errno_words(written.error().errnum())),
        fix);
  } else if (free < kScarce) {
    set_broken(check, fmt::format("only {} are free", format_size(free)), fix);
  }
  return check;
}

DoctorCheck check_overlay(const std::string& data_dir) {
  DoctorCheck check = make_check("overlay", "containers share the layers of their images");
  const Scratch scratch(data_dir);
  int failure = scratch.errnum();
  for (const char* name : {"lower", "upper", "work", "merged"}) {
    if (failure == 0 && mkdir(fmt::format("{}/{}", scratch.path(), name).c_str(), 0755) != 0)
      failure = errno;
  }
  if (failure == 0) failure = errno_of_trial([&] { return try_overlay(scratch.path()); });
  if (failure == 0) return check;
  const std::string cause =
      fmt::format("no overlay can be mounted in \"{}\": {}", data_dir, errno_words(failure));
  if (failure == ENODEV) {
    set_missing(check, cause, "modprobe overlay");
  } else {
    set_broken(check, cause,
               "put directories.data of config.yml on ext4, xfs or tmpfs: an overlay can't be on "
               "an overlay or NFS");
  }
  return check;
}

DoctorCheck check_idmapped_mounts(const std::string& data_dir) {
  DoctorCheck check = make_check("idmapped-mounts", "volumes in containers with other user ids");
  if (geteuid() != 0) {
    set_missing(check, "only root can make them", "sudo trivet doctor");
    return check;
  }
  const Scratch scratch(data_dir);
  const int failure = scratch.errnum() != 0
                          ? scratch.errnum()
                          : errno_of_trial([&] { return try_idmapped(scratch.path()); });
  if (failure != 0) {
    set_broken(check, fmt::format("mount_setattr: {}", errno_words(failure)),
               "use Linux 5.12 or newer and a file system that has them (ext4, xfs, btrfs; tmpfs "
               "since 6.3)");
  }
  return check;
}

}  // namespace trivet::doctor
