#include "container/encode.h"

#include <algorithm>
#include <cstring>
#include <sys/mount.h>
#include <type_traits>

#include "base/text.h"

namespace trivet::container {

namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kScratchBytes = 4096;  // PATH_MAX

class BlobWriter {
 public:
  BlobWriter() { bytes_.resize(sizeof(stage::Plan)); }

  stage::Text text(std::string_view value) {
    if (value.empty()) return {0};
    return required_text(value);
  }
  // Also an empty string gets a place.
  stage::Text required_text(std::string_view value) {
    const auto offset = static_cast<uint32_t>(bytes_.size());
    bytes_.append(value);
    bytes_.push_back('\0');
    return {offset};
  }

  template <typename T>
  stage::Span<T> array(const std::vector<T>& values) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (values.empty()) return {0, 0};
    bytes_.resize((bytes_.size() + 7) & ~size_t{7});
    const auto offset = static_cast<uint32_t>(bytes_.size());
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    return {offset, static_cast<uint32_t>(values.size())};
  }

  // A 0-terminated vector of string offsets; the stage makes them pointers.
  stage::Span<uint64_t> strings(const std::vector<std::string>& values) {
    std::vector<uint64_t> offsets;
    offsets.reserve(values.size() + 1);
    for (const std::string& value : values) offsets.push_back(required_text(value).offset);
    offsets.push_back(0);
    return array(offsets);
  }

  stage::Span<stage::Text> texts(const std::vector<std::string>& values) {
    std::vector<stage::Text> offsets;
    offsets.reserve(values.size());
    for (const std::string& value : values) offsets.push_back(required_text(value));
    return array(offsets);
  }

  uint32_t reserve(size_t count) {
    const auto offset = static_cast<uint32_t>(bytes_.size());
    bytes_.resize(bytes_.size() + count);
    return offset;
  }

  std::string finish(stage::Plan& plan) {
    plan.magic = stage::kMagic;
    plan.size = static_cast<uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &plan, sizeof plan);
    return std::move(bytes_);
  }

 private:
  std::string bytes_;
};

stage::MountOp encode_mount(BlobWriter& blob, const MountPlan& mount) {
  std::vector<stage::FsOption> options;
  for (const auto& [key, value] : mount.options.parameters) {
    options.push_back({blob.text(key), value ? blob.required_text(*value) : stage::Text{0}});
  }
  return {.kind = mount.kind,
          .recursive = mount.options.recursive ? 1U : 0U,
          .copy_up = mount.options.copy_up ? 1U : 0U,
          .optional_source = mount.options.optional ? 1U : 0U,
          .type = blob.text(mount.type),
          .source = blob.text(mount.source),
          .target = blob.text(mount.target),
          .options = blob.array(options),
          .attr_set = mount.options.attr_set,
          .attr_clear = mount.options.attr_clear,
          .recursive_attr_set = mount.options.recursive_attr_set,
          .recursive_attr_clear = mount.options.recursive_attr_clear,
          .propagation = mount.options.propagation,
          .propagation_recursive = mount.options.propagation_recursive ? 1U : 0U,
          .source_fd = mount.source_fd,
          .inherit_mode = mount.inherit_mode ? 1U : 0U,
          .padding = 0};
}

stage::Span<stage::MountOp> encode_mounts(BlobWriter& blob, const std::vector<MountPlan>& mounts) {
  std::vector<stage::MountOp> ops;
  for (const MountPlan& mount : mounts) ops.push_back(encode_mount(blob, mount));
  return blob.array(ops);
}

void encode_root(BlobWriter& blob, const RootPlan& root, stage::Plan& plan) {
  plan.flags |= stage::kSetRoot;
  if (root.readonly) plan.flags |= stage::kReadonlyRoot;
  if (root.no_pivot) plan.flags |= stage::kNoPivot;
  if (root.joined_mounts) plan.flags |= stage::kJoinedMounts;
  plan.root = encode_mount(blob, root.root);
  plan.root_propagation = root.propagation;
  plan.final_root_propagation = root.final_propagation;
  plan.mounts = encode_mounts(blob, root.mounts);
  plan.shown = encode_mounts(blob, root.shown);
  std::vector<stage::DeviceOp> devices;
  for (const DevicePlan& device : root.devices) {
    devices.push_back({.path = blob.text(device.path),
                       .mode = device.mode,
                       .major = device.major,
                       .minor = device.minor,
                       .uid = device.uid,
                       .gid = device.gid,
                       .bind = device.bind ? 1U : 0U});
  }
  plan.devices = blob.array(devices);
  std::vector<stage::SymlinkOp> symlinks;
  for (const SymlinkPlan& link : root.symlinks) {
    symlinks.push_back({blob.text(link.target), blob.text(link.path)});
  }
  plan.symlinks = blob.array(symlinks);
  plan.masked_paths = blob.texts(root.masked_paths);
  plan.readonly_paths = blob.texts(root.readonly_paths);
}

void encode_namespaces(BlobWriter& blob, const NamespacePlan& namespaces, stage::Plan& plan) {
  if (namespaces.new_network) plan.flags |= stage::kLoopbackUp;
  plan.unshare = namespaces.unshare_flags;
  plan.hostname = blob.text(namespaces.hostname);
  plan.domainname = blob.text(namespaces.domainname);
  plan.timens_offsets = blob.text(namespaces.timens_offsets);
  std::vector<stage::SysctlOp> sysctls;
  for (const auto& [path, value] : namespaces.sysctls) {
    sysctls.push_back({blob.text(path), blob.required_text(value)});
  }
  plan.sysctls = blob.array(sysctls);
}

std::vector<std::string> search_path(const std::vector<std::string>& env) {
  std::string_view path = kDefaultPath;
  for (const std::string& entry : env) {
    if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
  }
  return split(path, ':');
}

void encode_optional_attributes(const ProcessPlan& process, stage::Plan& plan) {
  if (process.umask) {
    plan.flags |= stage::kHasUmask;
    plan.umask = *process.umask;
  }
  if (process.console_size) {
    plan.flags |= stage::kHasConsoleSize;
    plan.console_rows = process.console_size->height;
    plan.console_columns = process.console_size->width;
  }
  if (process.personality) {
    plan.flags |= stage::kHasPersonality;
    plan.personality = *process.personality;
  }
  if (process.memory_policy) {
    plan.flags |= stage::kHasMemoryPolicy;
    plan.memory_policy = *process.memory_policy;
  }
  if (process.io_priority) {
    plan.flags |= stage::kHasIoPriority;
    plan.io_priority = *process.io_priority;
  }
  if (process.scheduler) {
    plan.flags |= stage::kHasScheduler;
    plan.scheduler = *process.scheduler;
  }
}

void encode_process(BlobWriter& blob, const ProcessPlan& process, stage::Plan& plan) {
  plan.flags |= stage::kSetsid | stage::kSetCapabilities;
  if (!process.keep_groups) plan.flags |= stage::kSetGroups;
  if (process.terminal) plan.flags |= stage::kTerminal;
  if (process.new_keyring) plan.flags |= stage::kNewKeyring;
  if (process.no_new_privileges) plan.flags |= stage::kNoNewPrivileges;
  encode_optional_attributes(process, plan);
  plan.preserve_fds = process.preserve_fds;
  plan.program_fd = process.program_fd;
  plan.handed_fds = blob.array(process.handed_fds);
  plan.cwd = blob.text(process.cwd);
  plan.lsm_path = blob.text(process.lsm_path);
  plan.lsm_label = blob.text(process.lsm_label);
  plan.initial_cpus = blob.array(process.initial_cpus);
  plan.final_cpus = blob.array(process.final_cpus);
  plan.memory_nodes = blob.array(process.memory_nodes);
  plan.uid = process.uid;
  plan.gid = process.gid;
  plan.groups = blob.array(process.groups);
  plan.capabilities = process.capabilities;
  std::vector<stage::RlimitOp> rlimits;
  for (const RlimitPlan& limit : process.rlimits) {
    rlimits.push_back({.resource = static_cast<uint32_t>(limit.resource),
                       .padding = 0,
                       .soft = limit.soft,
                       .hard = limit.hard});
  }
  plan.rlimits = blob.array(rlimits);
  if (!process.seccomp.empty()) {
    plan.flags |= stage::kHasSeccomp;
    if (process.seccomp_listener) plan.flags |= stage::kHasListener;
    if (process.sends_by_sendmmsg) plan.flags |= stage::kSendsBySendmmsg;
    plan.seccomp_flags = process.seccomp_flags;
    std::vector<uint64_t> filter(process.seccomp.size());
    static_assert(sizeof(sock_filter) == sizeof(uint64_t));
    std::memcpy(filter.data(), process.seccomp.data(), filter.size() * sizeof(uint64_t));
    plan.seccomp = blob.array(filter);
  }
  plan.argv = blob.strings(process.args);
  plan.envp = blob.strings(process.env);
  plan.search_path = blob.texts(search_path(process.env));
}

}  // namespace

void add_program_descriptors(const ProcessPlan& process, const Stdio& stdio,
                             std::vector<int>& inherit) {
  for (const int fd : {stdio.stdin_fd, stdio.stdout_fd, stdio.stderr_fd}) {
    if (fd > 2) inherit.push_back(fd);
  }
  for (uint32_t i = 0; i < process.preserve_fds; ++i) inherit.push_back(static_cast<int>(3 + i));
  inherit.push_back(process.program_fd);
  inherit.insert(inherit.end(), process.handed_fds.begin(), process.handed_fds.end());
}

std::string encode(const StagePlan& source, const StageFds& fds) {
  BlobWriter blob;
  stage::Plan plan{};
  plan.sync_fd = fds.sync;
  plan.listen_fd = fds.listener;
  plan.root_fd = fds.root;
  plan.stdio[0] = fds.stdio.stdin_fd;
  plan.stdio[1] = fds.stdio.stdout_fd;
  plan.stdio[2] = fds.stdio.stderr_fd;
  plan.cgroup_fds = blob.array(fds.cgroup);
  plan.joins = blob.array(fds.joins);
  if (source.namespaces != nullptr) encode_namespaces(blob, *source.namespaces, plan);
  if (source.root != nullptr) encode_root(blob, *source.root, plan);
  if (source.root != nullptr && source.starts_in_root) {
    plan.root.source = plan.root.target = blob.text(".");
  }
  encode_process(blob, *source.process, plan);
  if (source.pause_before_pivot) plan.flags |= stage::kPauseBeforePivot;
  if (source.pause_before_exec) plan.flags |= stage::kPauseBeforeExec;
  if (source.report_times) plan.flags |= stage::kReportTimes;
  if (source.await_cgroup) plan.flags |= stage::kAwaitCgroup;
  if (source.report_namespaces) plan.flags |= stage::kReportNamespaces;
  plan.scratch = blob.reserve(kScratchBytes);
  return blob.finish(plan);
}

}  // namespace trivet::container
