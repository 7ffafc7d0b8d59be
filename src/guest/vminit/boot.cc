#include "guest/vminit/boot.h"

#include <array>
#include <cstring>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "guest/vminit/console.h"
#include <net/if.h>

namespace trivet::guest {

namespace {

constexpr const char* kModules = "/modules";
constexpr const char* kNewRoot = "/newroot";

struct FileSystem {
  const char* type;
  const char* target;
  unsigned long flags;
  const char* data;
};

Result<> mount_one(const FileSystem& entry) {
  if (::mkdir(entry.target, 0755) != 0 && errno != EEXIST) {
    return fail_errno("mkdir \"{}\"", entry.target);
  }
  if (::mount(entry.type, entry.target, entry.type, entry.flags, entry.data) == 0) return {};
  return fail_errno("mount {} on \"{}\"", entry.type, entry.target);
}

// Until they are there, every descriptor that is opened would become one of the three.
void occupy_standard_descriptors() {
  int fd = ::open("/dev/console", O_RDWR | O_NOCTTY);  // NOLINT(android-cloexec-open)
  if (fd < 0) fd = ::open("/dev/null", O_RDWR);        // NOLINT(android-cloexec-open)
  if (fd < 0) return;
  for (int number = 0; number < 3; ++number) {
    if (number != fd) (void)::dup2(fd, number);
  }
  if (fd > 2) ::close(fd);
}

Result<> load_module(const std::string& name) {
  const std::string path = fmt::format("{}/{}", kModules, name);
  const UniqueFd file = TRY(open_file(path, O_RDONLY));
  if (::syscall(SYS_finit_module, file.get(), "", 0) == 0 || errno == EEXIST) return {};
  return fail_errno("load module \"{}\"", name);
}

// "vport1p1" for the name of a port; empty while there is none.
std::string find_port(const char* name) {
  constexpr const char* kPorts = "/sys/class/virtio-ports";
  const auto entries = list_dir(AT_FDCWD, kPorts);
  if (!entries) return {};
  for (const std::string& entry : *entries) {
    const auto text = read_file(fmt::format("{}/{}/name", kPorts, entry), 4096);
    if (text && trim(*text) == name) return entry;
  }
  return {};
}

// The memory of what is not needed any more.
void remove_modules() {
  (void)remove_tree(AT_FDCWD, kModules);
}

}  // namespace

Result<> mount_early_file_systems() {
  const auto devices =
      mount_one({.type = "devtmpfs", .target = "/dev", .flags = MS_NOSUID, .data = "mode=0755"});
  occupy_standard_descriptors();
  // EBUSY: the kernel has mounted it (CONFIG_DEVTMPFS_MOUNT).
  if (!devices && devices.error().errnum() != EBUSY) return devices;
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  TRY(mount_one({.type = "proc", .target = "/proc", .flags = kFlags, .data = nullptr}));
  return mount_one({.type = "sysfs", .target = "/sys", .flags = kFlags, .data = nullptr});
}

void load_modules() {
  const auto list = read_file(fmt::format("{}/list", kModules), 1U << 16U);
  if (!list) return;
  for (const std::string& line : split(*list, '\n')) {
    const std::string name(trim(line));
    if (name.empty()) continue;
    if (auto loaded = load_module(name); !loaded) say(loaded.error().message());
  }
  remove_modules();
}

UniqueFd open_infra() {
  auto file = open_file("/trivet-infra", O_PATH);
  return file ? std::move(*file) : UniqueFd();
}

// A port gets its name by a message of the host, some milliseconds after its driver is loaded.
Result<UniqueFd> open_port(const char* name) {
  constexpr int kAttempts = 5000;
  constexpr useconds_t kPause = 2000;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::string device = find_port(name);
    if (!device.empty()) return open_file("/dev/" + device, O_RDWR | O_NONBLOCK);
    ::usleep(kPause);
  }
  return fail(ErrorCode::kNotFound, "there is no virtio-serial port \"{}\"", name);
}

Result<> switch_root() {
  TRY(mount_one({.type = "tmpfs", .target = kNewRoot, .flags = 0, .data = "mode=0755"}));
  for (const char* name : {"dev", "proc", "sys", "etc", "tmp", "run", "root", "var"}) {
    TRY(make_dirs(fmt::format("{}/{}", kNewRoot, name)));
  }
  for (const char* name : {"/dev", "/proc", "/sys"}) {
    const std::string target = kNewRoot + std::string(name);
    if (::mount(name, target.c_str(), nullptr, MS_MOVE, nullptr) != 0) {
      return fail_errno("move \"{}\"", name);
    }
  }
  if (::chdir(kNewRoot) != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 ||
      ::chroot(".") != 0 || ::chdir("/") != 0) {
    return fail_errno("switch to the new root");
  }
  return {};
}

Result<> mount_file_systems() {
  constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  constexpr auto kTable = std::to_array<FileSystem>({
      {"cgroup2", "/sys/fs/cgroup", kFlags, "nsdelegate"},
      {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666,gid=5"},
      {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
      {"mqueue", "/dev/mqueue", kFlags, nullptr},
      {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
      {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
  });
  for (const FileSystem& entry : kTable) TRY(mount_one(entry));
  // As any init leaves them: the engine makes private what has to be.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0) {
    return fail_errno("share the mounts");
  }
  constexpr rlim_t kOpenFiles = 524288;
  const rlimit limit{.rlim_cur = 1024, .rlim_max = kOpenFiles};
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) return fail_errno("setrlimit RLIMIT_NOFILE");
  return {};
}

// All in one go; and if one of them refuses, the others without it.
Result<cgroup::Layout> enable_controllers() {
  constexpr const char* kRoot = "/sys/fs/cgroup";
  constexpr const char* kControl = "/sys/fs/cgroup/cgroup.subtree_control";
  const std::string text = TRY(read_file("/sys/fs/cgroup/cgroup.controllers", 4096));
  std::vector<std::string> names = split(trim(text), ' ');
  if (!write_existing(AT_FDCWD, kControl, "+" + join(names, " +"))) {
    for (const std::string& name : names) {
      auto enabled = write_existing(AT_FDCWD, kControl, "+" + name);
      if (!enabled) say(enabled.error().message());
    }
  }
  cgroup::Layout layout;
  layout.hierarchies.push_back(
      {.mount_point = kRoot, .controllers = std::move(names), .v2 = true, .own_path = "/"});
  return layout;
}

// A machine is small, and what a program asks for at once may be more than there is: as in any
// container it gets it, and is ended when it uses more than its limit.
Result<> overcommit_memory() {
  return write_existing(AT_FDCWD, "/proc/sys/vm/overcommit_memory", "1");
}

Result<> raise_loopback() {
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket");
  ifreq request{};
  std::strncpy(request.ifr_name, "lo", IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno("bring up \"lo\"");
  return {};
}

}  // namespace trivet::guest
