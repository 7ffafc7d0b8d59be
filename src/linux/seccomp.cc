// A profile to BPF with libseccomp.
#include "linux/seccomp.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <map>
#include <memory>
#include <sys/mman.h>

#include <seccomp.h>

#include "base/fs.h"
#include "base/text.h"
#include "linux/seccomp_names.h"
#include <linux/audit.h>
#include <linux/seccomp.h>

namespace trivet::seccomp {

namespace {

constexpr uint32_t kDefaultErrno = EPERM;
constexpr uint32_t kMaxErrno = 4095;
constexpr uint32_t kMaxArgument = 5;
constexpr uint32_t kX32Bit = 0x40000000;  // __X32_SYSCALL_BIT
constexpr uint32_t kOptimizeBinaryTree = 2;

struct ReleaseContext {
  void operator()(void* context) const { seccomp_release(context); }
};
using Context = std::unique_ptr<void, ReleaseContext>;

// libseccomp returns a negative errno.
std::unexpected<Error> library_error(int code, const std::string& operation) {
  return std::unexpected(Error::from_errno(-code, operation));
}

std::unexpected<Error> unknown(const std::string& field, std::string_view what,
                               std::string_view name, const std::vector<std::string>& known) {
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("{}: unknown {} \"{}\"", field, what, name))
          .hint(fmt::format("known are {}", join(known, ", "))));
}

Result<uint32_t> parse_action(const std::string& field, std::string_view name,
                              const std::optional<uint32_t>& errno_ret) {
  const auto action = find_value(action_table(), name);
  if (!action) return unknown(field, "action", name, known_actions());
  const uint32_t code = errno_ret.value_or(kDefaultErrno);
  if (*action == SCMP_ACT_ERRNO(0)) {
    if (code > kMaxErrno) {
      return fail(ErrorCode::kInvalidArgument, "{}: errno {} is out of range", field, code);
    }
    return SCMP_ACT_ERRNO(code);
  }
  if (*action == SCMP_ACT_TRACE(0)) return SCMP_ACT_TRACE(code);
  return *action;
}

Result<uint32_t> parse_flags(const oci::Seccomp& profile) {
  uint32_t flags = 0;
  for (const std::string& name : profile.flags) {
    const auto flag = find_value(flag_table(), name);
    if (!flag) return unknown("linux.seccomp.flags", "flag", name, known_flags());
    flags |= *flag;
  }
  return flags;
}

Result<std::vector<uint32_t>> parse_architectures(const oci::Seccomp& profile) {
  std::vector<uint32_t> architectures = {seccomp_arch_native()};
  for (const std::string& name : profile.architectures) {
    const auto architecture = find_value(architecture_table(), name);
    if (!architecture) {
      return unknown("linux.seccomp.architectures", "architecture", name, known_architectures());
    }
    if (std::ranges::find(architectures, *architecture) == architectures.end()) {
      architectures.push_back(*architecture);
    }
  }
  return architectures;
}

Result<std::vector<scmp_arg_cmp>> parse_arguments(const std::string& field,
                                                  const oci::SeccompRule& rule) {
  std::vector<scmp_arg_cmp> arguments;
  for (const oci::SeccompArg& argument : rule.args) {
    const auto op = find_value(operator_table(), argument.op);
    if (!op) return unknown(field + ".args", "operator", argument.op, known_operators());
    if (argument.index > kMaxArgument) {
      return fail(ErrorCode::kInvalidArgument, "{}.args: index {} is more than {}", field,
                  argument.index, kMaxArgument);
    }
    arguments.push_back(
        {argument.index, static_cast<scmp_compare>(*op), argument.value, argument.value_two});
  }
  return arguments;
}

bool has_repeated_argument(const std::vector<scmp_arg_cmp>& arguments) {
  std::array<int, kMaxArgument + 1> uses{};
  return std::ranges::any_of(arguments,
                             [&](const scmp_arg_cmp& a) { return ++uses.at(a.arg) > 1; });
}

Result<> add_rule(void* context, const std::string& field, uint32_t action, int number,
                  const std::vector<scmp_arg_cmp>& arguments) {
  const int code = seccomp_rule_add_array(
      context, action, number, static_cast<unsigned>(arguments.size()), arguments.data());
  if (code == 0 || code == -EEXIST) return {};
  return library_error(code, fmt::format("{}: seccomp_rule_add", field));
}

// One rule of the profile for one system call. Conditions on one argument can't be joined by "and"
// in libseccomp; the runtimes have always taken them as alternatives.
Result<> add_rule_for(void* context, const std::string& field, uint32_t action,
                      const std::string& name, const std::vector<scmp_arg_cmp>& arguments) {
  const int number = seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) return {};
  if (!has_repeated_argument(arguments)) {
    return add_rule(context, field, action, number, arguments);
  }
  for (const scmp_arg_cmp& argument : arguments) {
    TRY(add_rule(context, field, action, number, {argument}));
  }
  return {};
}

Result<> add_rules(void* context, const oci::Seccomp& profile, uint32_t default_action,
                   bool& wants_listener) {
  for (size_t i = 0; i < profile.syscalls.size(); ++i) {
    const oci::SeccompRule& rule = profile.syscalls[i];
    const std::string field = fmt::format("linux.seccomp.syscalls[{}]", i);
    const uint32_t action = TRY(parse_action(field + ".action", rule.action, rule.errno_ret));
    const std::vector<scmp_arg_cmp> arguments = TRY(parse_arguments(field, rule));
    wants_listener |= action == SCMP_ACT_NOTIFY;
    if (action == default_action) continue;  // libseccomp refuses what changes nothing
    for (const std::string& name : rule.names) {
      TRY(add_rule_for(context, field, action, name, arguments));
    }
  }
  return {};
}

Result<std::vector<sock_filter>> export_filter(void* context) {
  const UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return fail_errno("memfd_create \"seccomp\"");
  if (const int code = seccomp_export_bpf(context, file.get()); code != 0) {
    return library_error(code, "seccomp_export_bpf");
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  const std::string bytes = TRY(read_fd(file.get(), "seccomp program"));
  std::vector<sock_filter> instructions(bytes.size() / sizeof(sock_filter));
  std::memcpy(instructions.data(), bytes.data(), instructions.size() * sizeof(sock_filter));
  return instructions;
}

// The AUDIT_ARCH_* that the kernel reports: x32 is x86-64 with a bit in the number.
uint32_t audit_architecture(uint32_t architecture) {
  return architecture == SCMP_ARCH_X32 ? AUDIT_ARCH_X86_64 : architecture;
}

// The largest system call number that the profile names, for each architecture.
std::map<uint32_t, uint32_t> newest_known(const oci::Seccomp& profile,
                                          const std::vector<uint32_t>& architectures) {
  std::map<uint32_t, uint32_t> newest;
  for (const uint32_t architecture : architectures) {
    if (architecture == SCMP_ARCH_X32) continue;
    uint32_t& largest = newest[architecture];
    for (const oci::SeccompRule& rule : profile.syscalls) {
      for (const std::string& name : rule.names) {
        const int number = seccomp_syscall_resolve_name_arch(architecture, name.c_str());
        if (number > 0) largest = std::max(largest, static_cast<uint32_t>(number));
      }
    }
  }
  return newest;
}

sock_filter load(size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}

// A system call that is newer than the profile would get the default errno, usually EPERM, and C
// libraries fall back to an older call only on ENOSYS. So numbers past the newest one that the
// profile names get ENOSYS, as runc has it since 1.0. x32 calls are left to the profile.
std::vector<sock_filter> newer_calls_prologue(const std::map<uint32_t, uint32_t>& newest) {
  std::vector<sock_filter> code = {load(offsetof(seccomp_data, arch))};
  for (const auto& [architecture, number] : newest) {
    if (number == 0) continue;
    // Not this architecture: on to the next (5 instructions ahead).
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, audit_architecture(architecture), 0, 5));
    code.push_back(load(offsetof(seccomp_data, nr)));
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 2, 0));
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, number, 0, 1));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
    // Comparing with the other architectures must see the architecture again.
    code.push_back(load(offsetof(seccomp_data, arch)));
  }
  return code;
}

bool wants_prologue(uint32_t default_action) {
  switch (default_action & SECCOMP_RET_ACTION_FULL) {
    case SCMP_ACT_ALLOW:
    case SCMP_ACT_LOG:
    case SCMP_ACT_TRACE(0):
      return false;
    default:
      return default_action != SCMP_ACT_ERRNO(ENOSYS);
  }
}

Result<Context> make_context(uint32_t default_action, const std::vector<uint32_t>& architectures) {
  Context context(seccomp_init(default_action));
  if (!context) {
    return fail(ErrorCode::kSystem, "seccomp_init with default action {:#x} failed",
                default_action);
  }
  for (const uint32_t architecture : architectures) {
    const int code = seccomp_arch_add(context.get(), architecture);
    if (code != 0 && code != -EEXIST) return library_error(code, "seccomp_arch_add");
  }
  // A faster filter, not another one: kernels and libraries without it do as well.
  (void)seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, kOptimizeBinaryTree);
  return context;
}

}  // namespace

Result<Program> compile(const oci::Seccomp& profile) {
  Program program;
  const uint32_t default_action = TRY(parse_action(
      "linux.seccomp.defaultAction", profile.default_action, profile.default_errno_ret));
  if (default_action == SCMP_ACT_NOTIFY) {
    return fail(ErrorCode::kInvalidArgument,
                "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY can't be the default");
  }
  program.flags = TRY(parse_flags(profile));
  const std::vector<uint32_t> architectures = TRY(parse_architectures(profile));
  const Context context = TRY(make_context(default_action, architectures));
  TRY(add_rules(context.get(), profile, default_action, program.wants_listener));
  if (wants_prologue(default_action)) {
    program.instructions = newer_calls_prologue(newest_known(profile, architectures));
  }
  const std::vector<sock_filter> filter = TRY(export_filter(context.get()));
  program.instructions.insert(program.instructions.end(), filter.begin(), filter.end());
  if (program.instructions.size() > BPF_MAXINSNS) {
    return fail(ErrorCode::kLimitExceeded,
                "linux.seccomp: the compiled profile has {} instructions, the kernel takes {}",
                program.instructions.size(), BPF_MAXINSNS);
  }
  return program;
}

}  // namespace trivet::seccomp
