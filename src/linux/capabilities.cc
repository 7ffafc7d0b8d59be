#include "linux/capabilities.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"
#include <linux/capability.h>

namespace trivet::caps {

namespace {

// Indexed by the number in linux/capability.h.
constexpr std::array<std::string_view, 41> kNames = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

std::string canonical(std::string_view name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper.starts_with("CAP_") ? upper : "CAP_" + upper;
}

bool is_all(std::string_view name) {
  return canonical(name) == "CAP_ALL";
}

// Bits of the capabilities that `names` holds; "ALL" is every one.
Result<Set> bits_of(const std::vector<std::string>& names) {
  Set set = 0;
  for (const std::string& name : names) {
    if (is_all(name)) {
      set |= (Set{1} << kNames.size()) - 1;
    } else {
      set |= Set{1} << static_cast<unsigned>(TRY(parse_capability(name)));
    }
  }
  return set;
}

bool kernel_knows(int number) {
  return prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0;
}

}  // namespace

Result<int> parse_capability(std::string_view name) {
  const std::string wanted = canonical(name);
  const auto found = std::ranges::find(kNames, wanted);
  if (found != kNames.end()) return static_cast<int>(found - kNames.begin());
  Error error(ErrorCode::kInvalidArgument, fmt::format("unknown capability \"{}\"", name));
  const std::string nearest = nearest_name(wanted, all_capabilities());
  if (nearest.empty()) return std::unexpected(std::move(error));
  return std::unexpected(std::move(error).hint(fmt::format("did you mean \"{}\"?", nearest)));
}

std::string capability_name(int number) {
  if (number < 0 || static_cast<size_t>(number) >= kNames.size()) {
    return fmt::format("CAP_{}", number);
  }
  return std::string(kNames[static_cast<size_t>(number)]);
}

const std::vector<std::string>& all_capabilities() {
  static const std::vector<std::string> kAll(kNames.begin(), kNames.end());
  return kAll;
}

const std::vector<std::string>& default_capabilities() {
  static const std::vector<std::string> kDefault = {
      "CAP_AUDIT_WRITE", "CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
      "CAP_KILL",        "CAP_MKNOD",   "CAP_NET_BIND_SERVICE", "CAP_NET_RAW",   "CAP_SETFCAP",
      "CAP_SETGID",      "CAP_SETPCAP", "CAP_SETUID",           "CAP_SYS_CHROOT"};
  return kDefault;
}

Result<std::vector<std::string>> adjust(const std::vector<std::string>& base,
                                        const std::vector<std::string>& add,
                                        const std::vector<std::string>& drop) {
  const Set added = TRY(bits_of(add));
  const Set dropped = TRY(bits_of(drop));
  Set set = 0;
  if (std::ranges::any_of(add, is_all)) {
    // Everything but what is dropped by its own name: the word ALL in `drop` gives way to `add`.
    std::vector<std::string> named = drop;
    std::erase_if(named, is_all);
    set = added & ~TRY(bits_of(named));
  } else {
    set = (TRY(bits_of(base)) & ~dropped) | added;
  }
  std::vector<std::string> names;
  for (size_t number = 0; number < kNames.size(); ++number) {
    if ((set >> number & 1U) != 0) names.emplace_back(kNames[number]);
  }
  return names;
}

Parsed parse_set(const std::vector<std::string>& names) {
  Parsed parsed;
  for (const std::string& name : names) {
    const auto number = parse_capability(name);
    if (number && kernel_knows(*number)) {
      parsed.set |= Set{1} << static_cast<unsigned>(*number);
    } else {
      parsed.unknown.push_back(name);
    }
  }
  return parsed;
}

Result<Set> own_bounding_set() {
  Set set = 0;
  for (int number = 0; number < 64; ++number) {
    const int has = prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (has < 0 && errno == EINVAL) break;  // past the kernel's last capability
    if (has < 0) return fail_errno("prctl PR_CAPBSET_READ {}", number);
    if (has == 1) set |= Set{1} << static_cast<unsigned>(number);
  }
  return set;
}

Result<Set> own_permitted_set() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return fail_errno("capget");
  return Set{data[0].permitted} | Set{data[1].permitted} << 32U;
}

}  // namespace trivet::caps
