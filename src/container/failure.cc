// Step numbers to words. The texts for a missing or unusable program keep the substrings that
// Podman, Docker and containerd look for.
#include <array>
#include <cerrno>
#include <string_view>

#include "container/launch.h"
#include "linux/capabilities.h"
#include <linux/sched.h>

namespace trivet::container {

using stage::Call;
using stage::Step;

std::string_view step_phrase(Step step) {
  switch (step) {
    case Step::kJoinNamespaces:
      return "join a namespace";
    case Step::kBecomeRoot:
      return "become root of the user namespace";
    case Step::kInitialCpus:
      return "set process.execCPUAffinity.initial";
    case Step::kJoinCgroup:
      return "join the cgroup";
    case Step::kFinalCpus:
      return "set process.execCPUAffinity.final";
    case Step::kUnshare:
      return "make the cgroup and time namespaces";
    case Step::kSession:
      return "start a session";
    case Step::kLoopback:
      return "bring the loopback device up";
    case Step::kHostname:
      return "set the host name";
    case Step::kDomainname:
      return "set the domain name";
    case Step::kRootPropagation:
    case Step::kMountRoot:
      return "mount the root file system";
    case Step::kMount:
      return "mount the file systems";
    case Step::kDevice:
      return "make the devices";
    case Step::kSymlink:
      return "make the symlinks";
    case Step::kSysctl:
      return "write linux.sysctl";
    case Step::kMaskPath:
      return "mask paths";
    case Step::kReadonlyPath:
      return "make paths read-only";
    case Step::kShow:
      return "show the root file system";
    case Step::kCwd:
      return "enter the working directory";
    case Step::kFindProgram:
      return "find the program";
    case Step::kRlimit:
      return "set process.rlimits";
    case Step::kConsole:
      return "set up the terminal";
    case Step::kPauseBeforePivot:
    case Step::kPauseBeforeExec:
      return "wait for the runtime";
    case Step::kPivotRoot:
      return "change the root";
    case Step::kReadonlyRoot:
      return "make the root read-only";
    case Step::kFinalPropagation:
      return "set linux.rootfsPropagation";
    case Step::kKeyring:
      return "make a session keyring";
    case Step::kStdio:
      return "connect the standard streams";
    case Step::kScheduler:
      return "set process.scheduler";
    case Step::kIoPriority:
      return "set process.ioPriority";
    case Step::kPersonality:
      return "set linux.personality";
    case Step::kMemoryPolicy:
      return "set linux.memoryPolicy";
    case Step::kLsmLabel:
      return "set the security label";
    case Step::kBoundingSet:
      return "drop capabilities from the bounding set";
    case Step::kGroups:
      return "set the additional groups";
    case Step::kUser:
      return "change user and group";
    case Step::kCapabilities:
      return "set the capabilities";
    case Step::kNoNewPrivileges:
      return "set no_new_privs";
    case Step::kSeccomp:
      return "load the seccomp filter";
    case Step::kCloseDescriptors:
      return "close file descriptors";
    default:
      return "prepare the container";
  }
}

namespace {

std::string_view call_phrase(Call call) {
  switch (call) {
    case Call::kOpenTarget:
      return "open the target";
    case Call::kMakeTarget:
      return "make the target";
    case Call::kOpenSource:
      return "open the source";
    case Call::kFsopen:
      return "the file system type";
    case Call::kFsconfig:
      return "the file system's options";
    case Call::kFsmount:
      return "mount the file system";
    case Call::kMountSetattr:
      return "set the mount's attributes";
    case Call::kMoveMount:
      return "attach the mount";
    case Call::kCopyUp:
      return "copy the covered files";
    case Call::kMknod:
      return "make the node";
    case Call::kChown:
      return "change the owner";
    case Call::kWrite:
      return "write";
    case Call::kCheck:
      return "check what it is";
    case Call::kOpenPty:
      return "open a pseudo-terminal of the container's devpts";
    case Call::kNone:
      break;
  }
  return {};
}

template <typename T>
const T* at(const std::vector<T>& values, uint32_t index) {
  return index < values.size() ? &values[index] : nullptr;
}

std::string mount_words(const MountPlan& mount) {
  const std::string& what = mount.kind == stage::MountKind::kBind ? mount.source : mount.type;
  return fmt::format("mount \"{}\" on \"{}\"", what, mount.target);
}

// The step with the operand it failed on.
std::string operation(const stage::Message& message, const StagePlan& plan) {
  const uint32_t index = message.operand;
  switch (message.step) {
    case Step::kMount:
      if (const MountPlan* mount = at(plan.root->mounts, index)) return mount_words(*mount);
      break;
    case Step::kShow:
      if (const MountPlan* mount = at(plan.root->shown, index)) return mount_words(*mount);
      break;
    case Step::kMountRoot:
      return mount_words(plan.root->root);
    case Step::kDevice:
      if (const DevicePlan* device = at(plan.root->devices, index)) {
        return fmt::format("device \"{}\"", device->path);
      }
      break;
    case Step::kSymlink:
      if (const SymlinkPlan* link = at(plan.root->symlinks, index)) {
        return fmt::format("symlink \"{}\"", link->path);
      }
      break;
    case Step::kSysctl:
      if (index < plan.namespaces->sysctls.size()) {
        const auto& [path, value] = plan.namespaces->sysctls[index];
        return fmt::format("linux.sysctl: write \"{}\" to \"/proc/{}\"", value, path);
      }
      break;
    case Step::kMaskPath:
      if (const std::string* path = at(plan.root->masked_paths, index)) {
        return fmt::format("mask \"{}\"", *path);
      }
      break;
    case Step::kReadonlyPath:
      if (const std::string* path = at(plan.root->readonly_paths, index)) {
        return fmt::format("make \"{}\" read-only", *path);
      }
      break;
    case Step::kRlimit:
      return fmt::format("process.rlimits[{}]", index);
    case Step::kBoundingSet:
      return fmt::format("drop {} from the bounding set",
                         caps::capability_name(static_cast<int>(index)));
    case Step::kCwd:
      return fmt::format("process.cwd: chdir to \"{}\"", plan.process->cwd);
    default:
      break;
  }
  return std::string(step_phrase(message.step));
}

std::string find_path_variable(const std::vector<std::string>& env) {
  for (const std::string& entry : env) {
    if (entry.starts_with("PATH=")) return entry.substr(5);
  }
  return {};
}

Error program_failure(const stage::Message& message, const ProcessPlan& process) {
  const std::string& name = process.args.front();
  switch (message.error) {
    case ENOENT:
      if (name.find('/') == std::string::npos) {
        return Error(ErrorCode::kCommandNotFound,
                     fmt::format("exec: \"{}\": executable file not found in $PATH", name))
            .hint(fmt::format("the container's PATH is {}", find_path_variable(process.env)));
      }
      return message.step == Step::kExec
                 ? Error(ErrorCode::kCommandNotFound,
                         fmt::format("exec: \"{}\": no such file or directory", name))
                       .hint(
                           "the file is there, but its interpreter (#! line or dynamic loader) is "
                           "not")
                 : Error(
                       ErrorCode::kCommandNotFound,
                       fmt::format("exec: \"{}\": stat {}: no such file or directory", name, name));
    case ENOTDIR:
      return {ErrorCode::kCommandNotFound, fmt::format("exec: \"{}\": not a directory", name)};
    case EACCES:
    case EPERM:
      return {ErrorCode::kCommandNotExecutable,
              fmt::format("exec: \"{}\": permission denied", name)};
    case EISDIR:
      // execve(2) answers EACCES to a directory, and that text is what Podman looks for.
      return {ErrorCode::kCommandNotExecutable,
              fmt::format("exec: \"{}\": is a directory: permission denied", name)};
    case ENOEXEC:
      return Error(ErrorCode::kCommandNotExecutable,
                   fmt::format("exec: \"{}\": exec format error", name))
          .hint(
              "it is neither an executable of this CPU's architecture nor a script with a #! line");
    default:
      return Error::from_errno(message.error, fmt::format("exec: \"{}\"", name));
  }
}

}  // namespace

Error describe_failure(const stage::Message& message, const StagePlan& plan) {
  if (message.step == Step::kFindProgram || message.step == Step::kExec) {
    return program_failure(message, *plan.process);
  }
  std::string text = operation(message, plan);
  if (const std::string_view call = call_phrase(message.call); !call.empty()) {
    text += fmt::format(": {}", call);
  }
  Error error = Error::from_errno(message.error, std::move(text));
  // What could not be found or opened here is not the container itself.
  if (error.code() == ErrorCode::kNotFound || error.code() == ErrorCode::kAlreadyExists) {
    error = std::move(error).with_code(ErrorCode::kSystem);
  }
  return error;
}

}  // namespace trivet::container
