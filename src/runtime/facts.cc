#include "runtime/facts.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/user_root.h"
#include "image/registry.h"
#include "image/wasm_layer.h"
#include "linux/device_nodes.h"
#include "oci/wasm_module.h"
#include "runtime/images.h"
#include "runtime/names.h"

namespace trivet::runtime {

namespace {

std::string own_hostname() {
  std::array<char, 65> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

std::string own_directory() {
  std::array<char, PATH_MAX> path{};
  return getcwd(path.data(), path.size()) != nullptr ? path.data() : "/";
}

std::optional<std::string> own_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

// Hotter or colder: a side channel that Docker hides too.
std::vector<std::string> thermal_directories() {
  std::vector<std::string> found;
  const std::string base = "/sys/devices/system/cpu";
  for (int cpu = 0; exists(fmt::format("{}/cpu{}", base, cpu)); ++cpu) {
    std::string path = fmt::format("{}/cpu{}/thermal_throttle", base, cpu);
    if (!exists(path)) return found;  // all processors have it, or none
    found.push_back(std::move(path));
  }
  return found;
}

// Its manager makes scopes with limits on cgroup v2 only: v1 is not delegated.
bool has_user_systemd() {
  const auto runtime = own_environment("XDG_RUNTIME_DIR");
  return runtime && exists(*runtime + "/systemd/private") &&
         exists("/sys/fs/cgroup/cgroup.controllers");
}

bool is_directory(const std::string& path) {
  struct stat status{};
  return stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// "/a/b" contains "/a/b/c" and itself.
bool contains_path(const std::string& outer, const std::string& inner) {
  return inner == outer || inner.starts_with(outer + "/");
}

Result<std::string> real_path(const std::string& path) {
  std::array<char, PATH_MAX> resolved{};
  if (realpath(path.c_str(), resolved.data()) == nullptr) return fail_errno("open \"{}\"", path);
  return std::string(resolved.data());
}

Result<> resolve_users(RootFacts& root, const RunOptions& options) {
  const std::string& user = options.user.empty() ? root.defaults.user : options.user;
  root.user = TRY(image::resolve_user(root.layers, user, &root.home));
  for (const std::string& group : options.groups) {
    std::string ignored_home;
    const auto named = TRY_IN(image::resolve_user(root.layers, "0:" + group, &ignored_home),
                              "--group-add {}", group);
    auto& groups = root.user.additional_gids;
    if (std::ranges::find(groups, named.gid) == groups.end()) groups.push_back(named.gid);
  }
  return {};
}

Result<std::string> joined_id(const Home& home, std::string_view flag, const std::string& mode) {
  if (!mode.starts_with("container:")) return std::string();
  return TRY_IN(find_id(home, mode.substr(10)), "--{} {}", flag, mode);
}

}  // namespace

HostFacts make_host_facts() {
  HostFacts facts;
  facts.hostname = own_hostname();
  facts.working_directory = own_directory();
  facts.init_program = find_companion("trivet-init");
  facts.ordinary_user = in_user_namespace();
  facts.one_id = has_one_id();
  facts.user_systemd = facts.ordinary_user && has_user_systemd();
  facts.apparmor = exists("/sys/kernel/security/apparmor/profiles");
  facts.selinux = exists("/sys/fs/selinux/enforce");
  facts.swap_accounting = exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes") ||
                          (exists("/sys/fs/cgroup/cgroup.controllers") && exists("/proc/swaps"));
  facts.masked_extra = thermal_directories();
  facts.environment = own_environment;
  facts.read_file = [](const std::string& path) { return trivet::read_file(path, 1U << 20U); };
  facts.devices_at = find_devices;
  facts.make_volume_name = [] { return random_hex(32); };
  return facts;
}

namespace {

// A path, and no name of an image, because of its suffix or its first bytes.
bool is_module_file(const std::string& name) {
  if (name.ends_with(".wasm") || name.ends_with(".wat")) return exists(name);
  if (name.find('/') == std::string::npos) return false;
  const auto fd = open_file(name, O_RDONLY | O_NONBLOCK);
  std::array<char, 4> first{};
  return fd && pread(fd->get(), first.data(), first.size(), 0) == ssize_t{first.size()} &&
         oci::is_wasm({first.data(), first.size()});
}

}  // namespace

Result<image::Image> resolve_image(const Home& home, const RunOptions& options) {
  if (options.pull != "missing" && options.pull != "always" && options.pull != "never" &&
      !options.pull.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--pull {}: it is missing, always or never",
                options.pull);
  }
  if (is_module_file(options.image)) return image::import_module(home.store, options.image);
  if (options.pull != "always") {
    auto found = home.store.find(options.image);
    if (found || found.error().code() != ErrorCode::kNotFound || options.pull == "never") {
      return found;
    }
  }
  const image::Reference reference = TRY(image::parse_reference(options.image));
  return pull_image(home, reference, options.transfer);
}

Result<RootFacts> image_root(const Home& home, const image::Image& image,
                             const RunOptions& options) {
  RootFacts root;
  root.is_wasm = image::demands_wasm(image);
  root.defaults = image::image_defaults(image);
  root.labels = image.config.labels;
  root.image_id = image.id;
  root.layers = TRY(home.store.layer_directories(image));
  TRY_IN(resolve_users(root, options), "image \"{}\"", options.image);
  return root;
}

Result<std::string> check_rootfs(const std::string& directory, const std::string& data_directory,
                                 bool writable) {
  std::string real = TRY_IN(real_path(directory), "--rootfs");
  if (real == "/") {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, "--rootfs: \"/\" is the host's own root")
            .hint("give a directory that holds a root file system of its own"));
  }
  if (!is_directory(real)) {
    return fail(ErrorCode::kInvalidArgument, "--rootfs: \"{}\" is not a directory", directory);
  }
  if (!is_directory(real + "/bin") && !is_directory(real + "/usr") &&
      !is_directory(real + "/etc")) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("--rootfs: \"{}\" holds none of bin/, usr/ and etc/", directory))
            .hint("give the top of a root file system"));
  }
  const auto data = real_path(data_directory);
  if (data && (contains_path(real, *data) || (writable && contains_path(*data, real)))) {
    return fail(ErrorCode::kInvalidArgument, "--rootfs: \"{}\" and trivet's data in \"{}\" overlap",
                directory, data_directory);
  }
  return real;
}

Result<RootFacts> directory_root(const std::string& directory, const RunOptions& options) {
  RootFacts root;
  root.layers = {directory};
  TRY_IN(resolve_users(root, options), "--rootfs \"{}\"", options.rootfs);
  return root;
}

Result<JoinedContainers> resolve_joins(const Home& home, const RunOptions& options) {
  JoinedContainers joined;
  joined.network = TRY(joined_id(home, "network", options.network));
  joined.pid = TRY(joined_id(home, "pid", options.pid_mode));
  if (!joined.network.empty()) {
    joined.network_directory = home.directories.container(joined.network);
  }
  return joined;
}

}  // namespace trivet::runtime
