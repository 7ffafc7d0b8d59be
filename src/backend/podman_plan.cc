#include "backend/podman_plan.h"

#include "base/json.h"
#include "base/text.h"

namespace trivet::backend {

namespace {

// Each option is one word with its value: a value that begins with "-" can't become an option.
class Words {
 public:
  explicit Words(std::string command) : words_{std::move(command)} {}

  template <typename T>
  void add(std::string_view option, const T& value) {
    words_.push_back(fmt::format("--{}={}", option, value));
  }
  void add_text(std::string_view option, const std::string& value) {
    if (!value.empty()) add(option, value);
  }
  template <typename T>
  void add_number(std::string_view option, const std::optional<T>& value) {
    if (value) add(option, *value);
  }
  void add_each(std::string_view option, const std::vector<std::string>& values) {
    for (const std::string& value : values) add(option, value);
  }
  void add_pairs(std::string_view option, const std::map<std::string, std::string>& pairs) {
    for (const auto& [name, value] : pairs) add(option, fmt::format("{}={}", name, value));
  }
  void add_flag(std::string_view option, bool wanted) {
    if (wanted) words_.push_back(fmt::format("--{}", option));
  }
  std::vector<std::string> finish(const std::string& image,
                                  const std::vector<std::string>& command) {
    words_.insert(words_.end(), {"--", image});
    words_.insert(words_.end(), command.begin(), command.end());
    return std::move(words_);
  }

 private:
  std::vector<std::string> words_;
};

// What is trivet's own must not be left out silently, least of all isolation.
Result<> check_supported(const RunOptions& options) {
  const auto no = [](std::string_view what) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, fmt::format("podman has nothing for {}", what))
            .hint("run it with trivet: a runtime other than \"podman\""));
  };
  if (!options.isolation.empty() && options.isolation != "native") {
    return no(fmt::format("isolation \"{}\"", options.isolation));
  }
  if (!options.vmm.empty()) return no("a choice of the VMM");
  if (!options.accelerator.empty()) return no("a choice of the accelerator");
  if (!options.disk_size.empty()) return no("the size of a disk");
  if (!options.invoke.empty() || !options.fuel.empty()) return no("options of WebAssembly");
  return {};
}

std::string mount_text(const MountOption& mount) {
  std::string text = fmt::format("type={}", mount.type);
  if (!mount.source.empty()) text += fmt::format(",source={}", mount.source);
  text += fmt::format(",destination={}", mount.destination);
  for (const std::string& option : mount.options) text += "," + option;
  return text;
}

// Podman's --mount is a line of CSV.
Result<> add_mounts(const RunOptions& options, Words& words) {
  for (const MountOption& mount : options.mounts) {
    if (!mount.sub_path.empty()) {
      return fail(ErrorCode::kUnsupported, "podman has nothing for a part of a mount's source");
    }
    const std::string text = mount_text(mount);
    if (mount.source.contains(',') || mount.destination.contains(',') || text.contains('"')) {
      return fail(ErrorCode::kInvalidArgument, "podman takes no \",\" and no quote in a mount: {}",
                  text);
    }
    words.add("mount", text);
  }
  return {};
}

std::string restart_text(const RestartPolicy& policy) {
  switch (policy.kind) {
    case RestartPolicy::Kind::kOnFailure:
      return policy.max_retries > 0 ? fmt::format("on-failure:{}", policy.max_retries)
                                    : "on-failure";
    case RestartPolicy::Kind::kAlways:
      return "always";
    case RestartPolicy::Kind::kUnlessStopped:
      return "unless-stopped";
    case RestartPolicy::Kind::kNo:
      break;
  }
  return "no";
}

void add_process(const RunOptions& options, Words& words) {
  if (options.entrypoint) words.add("entrypoint", Json(*options.entrypoint).dump());
  words.add_flag("tty", options.terminal);
  words.add_flag("interactive", options.interactive);
  words.add_flag("init", options.init);
  words.add_each("env", options.env);
  words.add_each("env-file", options.env_files);
  words.add_text("workdir", options.workdir);
  words.add_text("user", options.user);
  words.add_each("group-add", options.groups);
  words.add_each("ulimit", options.ulimits);
  words.add_number("oom-score-adj", options.oom_score_adj);
  if (options.stop_signal != 0) words.add("stop-signal", options.stop_signal);
  words.add("stop-timeout", options.stop_timeout.count());
  if (options.timeout) {
    words.add("timeout", std::chrono::ceil<std::chrono::seconds>(*options.timeout).count());
  }
}

void add_identity(const RunOptions& options, Words& words) {
  words.add_text("name", options.name);
  words.add_text("hostname", options.hostname);
  words.add_pairs("label", options.labels);
  words.add_pairs("annotation", options.annotations);
  words.add_flag("rm", options.remove);
  words.add("restart", restart_text(options.restart));
  words.add("log-opt", fmt::format("max-size={}", options.log_max_size));
}

void add_network(const RunOptions& options, Words& words) {
  if (options.network != "pasta") words.add_text("network", options.network);
  words.add_each("publish", options.publish);
  words.add_each("dns", options.dns);
  words.add_each("dns-search", options.dns_search);
  words.add_each("dns-option", options.dns_options);
  words.add_each("add-host", options.add_hosts);
}

void add_limits(const RunOptions& options, Words& words) {
  words.add_number("memory", options.memory);
  words.add_number("memory-swap", options.memory_swap);
  words.add_number("memory-reservation", options.memory_reservation);
  words.add_number("pids-limit", options.pids);
  words.add_number("cpu-quota", options.cpu_quota);
  words.add_number("cpu-period", options.cpu_period);
  words.add_number("cpu-shares", options.cpu_shares);
  words.add_text("cpuset-cpus", options.cpuset_cpus);
  words.add_text("cpuset-mems", options.cpuset_mems);
  words.add_flag("oom-kill-disable", options.oom_kill_disable);
  words.add("shm-size", options.shm_size);
}

void add_security(const RunOptions& options, Words& words) {
  words.add_each("cap-add", options.cap_add);
  words.add_each("cap-drop", options.cap_drop);
  words.add_flag("privileged", options.privileged);
  words.add_each("security-opt", options.security_opt);
  words.add_each("device", options.devices);
  words.add_pairs("sysctl", options.sysctls);
  words.add_text("pid", options.pid_mode);
  words.add_text("ipc", options.ipc_mode);
  words.add_text("uts", options.uts_mode);
  words.add_text("cgroup-parent", options.cgroup_parent);
}

void add_transfer(const RunOptions& options, Words& words) {
  words.add_text("pull", options.pull);
  words.add_flag("tls-verify=false", !options.transfer.tls_verify);
  words.add_text("authfile", options.transfer.auth_file);
  words.add_text("platform", options.transfer.platform);
}

// Podman changes a root directory unless it is told to lay an overlay over it.
Result<std::string> add_root(const RunOptions& options, Words& words) {
  if (options.image.empty() == options.rootfs.empty()) {
    return fail(ErrorCode::kInvalidArgument, "a container is made from an image or a directory");
  }
  if (!options.image.empty()) {
    add_transfer(options, words);
    return options.image;
  }
  words.add_flag("rootfs", true);
  return options.rootfs_write ? options.rootfs : options.rootfs + ":O";
}

}  // namespace

Result<std::vector<std::string>> plan_podman_create(const RunOptions& options) {
  TRY(check_supported(options));
  Words words("create");
  add_identity(options, words);
  add_process(options, words);
  words.add_each("volume", options.volumes);
  TRY(add_mounts(options, words));
  words.add_each("tmpfs", options.tmpfs);
  words.add_flag("read-only", options.read_only);
  add_network(options, words);
  add_limits(options, words);
  add_security(options, words);
  const std::string root = TRY(add_root(options, words));
  return words.finish(root, options.command);
}

}  // namespace trivet::backend
