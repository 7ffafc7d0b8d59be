#include "container/mount_options.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <sys/mount.h>

#include <linux/mount.h>

namespace trivet::container {

namespace {

enum class Effect { kNothing, kSet, kClear, kRecursiveSet, kRecursiveClear, kPropagation, kWord };

struct Option {
  std::string_view name;
  Effect effect = Effect::kNothing;
  uint64_t bits = 0;
};

constexpr uint64_t kAtimeMask = MOUNT_ATTR__ATIME;

// The table of config.md. `relatime` is the kernel's default, encoded as 0.
constexpr auto kOptions = std::to_array<Option>({
    {"async", Effect::kWord, 0},
    {"atime", Effect::kSet, MOUNT_ATTR_RELATIME},
    {"bind", Effect::kWord, 0},
    {"defaults", Effect::kNothing, 0},
    {"dev", Effect::kClear, MOUNT_ATTR_NODEV},
    {"diratime", Effect::kClear, MOUNT_ATTR_NODIRATIME},
    {"exec", Effect::kClear, MOUNT_ATTR_NOEXEC},
    {"idmap", Effect::kWord, 0},
    {"noatime", Effect::kSet, MOUNT_ATTR_NOATIME},
    {"nodev", Effect::kSet, MOUNT_ATTR_NODEV},
    {"nodiratime", Effect::kSet, MOUNT_ATTR_NODIRATIME},
    {"noexec", Effect::kSet, MOUNT_ATTR_NOEXEC},
    {"nofail", Effect::kWord, 0},
    {"norelatime", Effect::kSet, MOUNT_ATTR_STRICTATIME},
    {"nostrictatime", Effect::kSet, MOUNT_ATTR_RELATIME},
    {"nosuid", Effect::kSet, MOUNT_ATTR_NOSUID},
    {"nosymfollow", Effect::kSet, MOUNT_ATTR_NOSYMFOLLOW},
    {"private", Effect::kPropagation, MS_PRIVATE},
    {"ratime", Effect::kRecursiveSet, MOUNT_ATTR_RELATIME},
    {"rbind", Effect::kWord, 0},
    {"rdev", Effect::kRecursiveClear, MOUNT_ATTR_NODEV},
    {"rdiratime", Effect::kRecursiveClear, MOUNT_ATTR_NODIRATIME},
    {"relatime", Effect::kSet, MOUNT_ATTR_RELATIME},
    {"remount", Effect::kWord, 0},
    {"rexec", Effect::kRecursiveClear, MOUNT_ATTR_NOEXEC},
    {"ridmap", Effect::kWord, 0},
    {"rnoatime", Effect::kRecursiveSet, MOUNT_ATTR_NOATIME},
    {"rnodev", Effect::kRecursiveSet, MOUNT_ATTR_NODEV},
    {"rnodiratime", Effect::kRecursiveSet, MOUNT_ATTR_NODIRATIME},
    {"rnoexec", Effect::kRecursiveSet, MOUNT_ATTR_NOEXEC},
    {"rnorelatime", Effect::kRecursiveSet, MOUNT_ATTR_STRICTATIME},
    {"rnostrictatime", Effect::kRecursiveSet, MOUNT_ATTR_RELATIME},
    {"rnosuid", Effect::kRecursiveSet, MOUNT_ATTR_NOSUID},
    {"rnosymfollow", Effect::kRecursiveSet, MOUNT_ATTR_NOSYMFOLLOW},
    {"ro", Effect::kSet, MOUNT_ATTR_RDONLY},
    {"rprivate", Effect::kPropagation, MS_PRIVATE | MS_REC},
    {"rrelatime", Effect::kRecursiveSet, MOUNT_ATTR_RELATIME},
    {"rro", Effect::kRecursiveSet, MOUNT_ATTR_RDONLY},
    {"rrw", Effect::kRecursiveClear, MOUNT_ATTR_RDONLY},
    {"rshared", Effect::kPropagation, MS_SHARED | MS_REC},
    {"rslave", Effect::kPropagation, MS_SLAVE | MS_REC},
    {"rstrictatime", Effect::kRecursiveSet, MOUNT_ATTR_STRICTATIME},
    {"rsuid", Effect::kRecursiveClear, MOUNT_ATTR_NOSUID},
    {"rsymfollow", Effect::kRecursiveClear, MOUNT_ATTR_NOSYMFOLLOW},
    {"runbindable", Effect::kPropagation, MS_UNBINDABLE | MS_REC},
    {"rw", Effect::kClear, MOUNT_ATTR_RDONLY},
    {"shared", Effect::kPropagation, MS_SHARED},
    {"slave", Effect::kPropagation, MS_SLAVE},
    {"strictatime", Effect::kSet, MOUNT_ATTR_STRICTATIME},
    {"suid", Effect::kClear, MOUNT_ATTR_NOSUID},
    {"symfollow", Effect::kClear, MOUNT_ATTR_NOSYMFOLLOW},
    {"tmpcopyup", Effect::kWord, 0},
    {"unbindable", Effect::kPropagation, MS_UNBINDABLE},
});
static_assert(std::ranges::is_sorted(kOptions, {}, &Option::name));

const Option* find_option(std::string_view name) {
  const auto* found = std::ranges::lower_bound(kOptions, name, {}, &Option::name);
  return found != kOptions.end() && found->name == name ? found : nullptr;
}

// The later option wins; the access-time options exclude each other (mount_setattr(2)).
void set_bits(uint64_t bits, uint64_t& set, uint64_t& clear) {
  const bool access_time =
      bits == MOUNT_ATTR_RELATIME || bits == MOUNT_ATTR_NOATIME || bits == MOUNT_ATTR_STRICTATIME;
  if (access_time) {
    set &= ~kAtimeMask;
    clear |= kAtimeMask;
  } else {
    clear &= ~bits;
  }
  set |= bits;
}

void clear_bits(uint64_t bits, uint64_t& set, uint64_t& clear) {
  set &= ~bits;
  clear |= bits;
}

void apply_word(std::string_view word, MountOptions& options) {
  if (word == "bind" || word == "rbind") options.bind = true;
  if (word == "rbind") options.recursive = true;
  if (word == "remount") options.remount = true;
  if (word == "tmpcopyup") options.copy_up = true;
  if (word == "nofail") options.optional = true;
  if (word == "idmap" || word == "ridmap") options.idmap = true;
  if (word == "ridmap") options.idmap_recursive = true;
}

void apply_option(const Option& option, MountOptions& options) {
  switch (option.effect) {
    case Effect::kNothing:
      break;
    case Effect::kSet:
      set_bits(option.bits, options.attr_set, options.attr_clear);
      break;
    case Effect::kClear:
      clear_bits(option.bits, options.attr_set, options.attr_clear);
      break;
    case Effect::kRecursiveSet:
      set_bits(option.bits, options.recursive_attr_set, options.recursive_attr_clear);
      break;
    case Effect::kRecursiveClear:
      clear_bits(option.bits, options.recursive_attr_set, options.recursive_attr_clear);
      break;
    case Effect::kPropagation:
      options.propagation = option.bits & ~static_cast<uint64_t>(MS_REC);
      options.propagation_recursive = (option.bits & MS_REC) != 0;
      break;
    case Effect::kWord:
      apply_word(option.name, options);
      break;
  }
}

}  // namespace

Result<MountOptions> parse_mount_options(const std::vector<std::string>& options) {
  MountOptions parsed;
  for (const std::string& text : options) {
    if (const Option* option = find_option(text)) {
      apply_option(*option, parsed);
      continue;
    }
    if (text.starts_with(kSubPathOption)) {
      parsed.sub_path = text.substr(kSubPathOption.size());
      continue;
    }
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      parsed.parameters.emplace_back(text, std::nullopt);
    } else {
      parsed.parameters.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    }
  }
  return parsed;
}

std::vector<std::string> known_mount_options() {
  std::vector<std::string> names;
  for (const Option& option : kOptions) names.emplace_back(option.name);
  return names;
}

Result<uint64_t> parse_propagation(const std::string& text) {
  if (text.empty()) return 0;
  const Option* option = find_option(text);
  if (option == nullptr || option->effect != Effect::kPropagation) {
    return fail(ErrorCode::kInvalidArgument, "linux.rootfsPropagation: unknown value \"{}\"", text);
  }
  return option->bits;
}

}  // namespace trivet::container
