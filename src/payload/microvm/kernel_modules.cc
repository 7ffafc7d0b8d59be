#include "payload/microvm/kernel_modules.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <elf.h>
#include <optional>

#include "base/text.h"

namespace trivet::payload::microvm {

namespace {

// From Linux's include/linux/module_signature.h: this stands at the end of a signed module, behind
// the signature, and the magic behind it.
constexpr std::string_view kSignatureMagic = "~Module signature appended~\n";
constexpr size_t kSignatureInfo = 12;

constexpr size_t kMaxSections = 4096;

// A copy of the value at an offset, or nothing when it would lie outside.
template <typename T>
bool read_at(std::string_view bytes, uint64_t offset, T& value) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof value) return false;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return true;
}

std::string_view range(std::string_view bytes, uint64_t offset, uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) return {};
  return bytes.substr(offset, size);
}

std::string_view c_string(std::string_view bytes, uint64_t offset) {
  if (offset >= bytes.size()) return {};
  const std::string_view rest = bytes.substr(offset);
  return rest.substr(0, rest.find('\0'));
}

struct Object {
  Elf64_Ehdr header{};
  std::vector<Elf64_Shdr> sections;
  std::string_view names;
};

// Nothing when it is no ELF64 object, or is cut off.
std::optional<Object> read_object(std::string_view bytes) {
  Object object;
  Elf64_Ehdr& header = object.header;
  if (!read_at(bytes, 0, header) || !bytes.starts_with(ELFMAG) ||
      header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shnum > kMaxSections) {
    return std::nullopt;
  }
  object.sections.resize(header.e_shnum);
  for (size_t i = 0; i < object.sections.size(); ++i) {
    if (!read_at(bytes, header.e_shoff + i * sizeof(Elf64_Shdr), object.sections[i])) {
      return std::nullopt;
    }
  }
  if (header.e_shstrndx >= object.sections.size()) return std::nullopt;
  const Elf64_Shdr& names = object.sections[header.e_shstrndx];
  object.names = range(bytes, names.sh_offset, names.sh_size);
  return object;
}

// The content of a section, or nothing.
std::string_view find_section(std::string_view bytes, std::string_view name) {
  const auto object = read_object(bytes);
  if (!object) return {};
  for (const Elf64_Shdr& section : object->sections) {
    if (c_string(object->names, section.sh_name) == name) {
      return range(bytes, section.sh_offset, section.sh_size);
    }
  }
  return {};
}

constexpr auto kForDebugging = std::to_array<std::string_view>(
    {".BTF", "__mcount_loc", ".orc_unwind", ".orc_unwind_ip", ".comment"});

// Relocations go with the section that they are for.
bool is_for_debugging(const Object& object, const Elf64_Shdr& section) {
  const bool relocates = section.sh_type == SHT_RELA && section.sh_info < object.sections.size();
  const Elf64_Shdr& meant = relocates ? object.sections[section.sh_info] : section;
  return std::ranges::find(kForDebugging, c_string(object.names, meant.sh_name)) !=
         kForDebugging.end();
}

template <typename T>
void append(std::string& bytes, const T& value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void align(std::string& bytes, uint64_t alignment) {
  constexpr uint64_t kPage = 4096;
  if (alignment < 2 || alignment > kPage) return;
  bytes.append((alignment - bytes.size() % alignment) % alignment, '\0');
}

// Soft dependencies name what the kernel's crypto interface calls an algorithm.
std::string provider_of(const std::string& name) {
  return name == "crc32c" ? "crc32c_generic" : name;
}

void add_names(std::string_view list, char separator, std::vector<std::string>& names) {
  for (const std::string& name : split(list, separator)) {
    if (!name.empty()) names.push_back(provider_of(module_name(name)));
  }
}

class Ordering {
 public:
  Ordering(const std::map<std::string, std::string>& modules, const std::set<std::string>& built_in)
      : modules_(modules), built_in_(built_in) {}

  enum class Need { kHard, kSoft };
  // Puts the module behind all that it needs.
  Result<> add(const std::string& name, Need need, const std::string& needed_by) {
    if (built_in_.contains(name) || !seen_.insert(name).second) return {};
    const auto found = modules_.find(name);
    if (found == modules_.end()) {
      if (need == Need::kSoft) return {};
      return fail(ErrorCode::kUnsupported, "this kernel has no module {}, which {} needs", name,
                  needed_by);
    }
    const ModuleNeeds needs = TRY(module_needs(found->second, name));
    for (const std::string& other : needs.soft) TRY(add(other, Need::kSoft, name));
    for (const std::string& other : needs.depends) TRY(add(other, Need::kHard, name));
    order_.push_back(name);
    return {};
  }

  [[nodiscard]] std::vector<std::string> take() { return std::move(order_); }

 private:
  const std::map<std::string, std::string>& modules_;
  const std::set<std::string>& built_in_;
  std::set<std::string> seen_;
  std::vector<std::string> order_;
};

}  // namespace

const std::vector<WantedModule>& wanted_modules() {
  static const std::vector<WantedModule> kWanted{
      {"virtio_mmio", true}, {"virtio_console", true}, {"virtio_blk", true},
      {"virtio_net", true},  {"af_packet", false},     {"virtio_rng", false},
      {"virtiofs", false},   {"overlay", true},        {"erofs", true},
      {"ext4", true},        {"virtio_balloon", false}};
  return kWanted;
}

std::string module_name(std::string_view path) {
  std::string name(path.substr(path.rfind('/') + 1));
  for (const std::string_view suffix : {".xz", ".zst", ".gz", ".ko"}) {
    if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  }
  std::ranges::replace(name, '-', '_');
  return name;
}

Result<ModuleNeeds> module_needs(std::string_view module, std::string_view name) {
  const std::string_view info = find_section(module, ".modinfo");
  if (info.empty()) return fail(ErrorCode::kCorrupt, "\"{}\" is no kernel module", name);
  ModuleNeeds needs;
  for (size_t at = 0; at < info.size();) {
    std::string_view entry = c_string(info, at);
    at += entry.size() + 1;
    if (entry.starts_with("depends=")) add_names(entry.substr(8), ',', needs.depends);
    if (entry.starts_with("softdep=pre: ")) {
      entry.remove_prefix(13);
      add_names(entry.substr(0, entry.find(" post:")), ' ', needs.soft);
    }
  }
  return needs;
}

std::string_view strip_signature(std::string_view module) {
  if (!module.ends_with(kSignatureMagic)) return module;
  const size_t signed_size = module.size() - kSignatureMagic.size();
  if (signed_size < kSignatureInfo) return module;
  const std::string_view info = module.substr(signed_size - kSignatureInfo, kSignatureInfo);
  const auto byte = [&](size_t i) { return size_t{static_cast<unsigned char>(info[i])}; };
  // The lengths of the signer's name, of the key's id, and of the signature (big-endian).
  const size_t appended =
      byte(3) + byte(4) + (byte(8) << 24U | byte(9) << 16U | byte(10) << 8U | byte(11));
  if (appended > signed_size - kSignatureInfo) return module;
  return module.substr(0, signed_size - kSignatureInfo - appended);
}

// A section that goes becomes one without a kind, so that all others keep their numbers.
std::string trim_module(std::string_view module) {
  auto object = read_object(module);
  if (!object) return std::string(module);
  std::string trimmed(module.substr(0, sizeof(Elf64_Ehdr)));
  std::vector<Elf64_Shdr> sections = object->sections;
  for (Elf64_Shdr& section : sections) {
    if (is_for_debugging(*object, section)) section = {};
    if (section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS) continue;
    const std::string_view content = range(module, section.sh_offset, section.sh_size);
    if (content.size() != section.sh_size) return std::string(module);
    align(trimmed, section.sh_addralign);
    section.sh_offset = trimmed.size();
    trimmed += content;
  }
  align(trimmed, alignof(Elf64_Shdr));
  object->header.e_shoff = trimmed.size();
  std::memcpy(trimmed.data(), &object->header, sizeof object->header);
  for (const Elf64_Shdr& section : sections) append(trimmed, section);
  return trimmed;
}

Result<std::vector<std::string>> order_modules(const std::map<std::string, std::string>& modules,
                                               const std::set<std::string>& built_in) {
  Ordering ordering(modules, built_in);
  for (const auto& [name, required] : wanted_modules()) {
    TRY(ordering.add(name, required ? Ordering::Need::kHard : Ordering::Need::kSoft, "a guest"));
  }
  return ordering.take();
}

std::set<std::string> parse_builtin_list(std::string_view text) {
  std::set<std::string> names;
  for (const std::string& line : split(text, '\n')) {
    if (!line.empty()) names.insert(module_name(line));
  }
  return names;
}

}  // namespace trivet::payload::microvm
