// Saved guests: machines that were booted once, from which later ones are restored.
//
//   VM_DIR/templates/KEY/memory          the guest's memory, shared copy-on-write by all its clones
//   VM_DIR/templates/KEY/state           the rest of the machine
//   VM_DIR/templates/KEY/disk            what the guest writes, where it was saved with a container
//   VM_DIR/templates/KEY/template.json   the identity of them, and the boot of the host
//
// Nothing in a saved machine tells whether it fits: KEY is made of all that must be the same. Files
// are never repaired: what is not exactly what was written is removed and made anew. A template
// lives until the host boots again, so that nothing has to be written through to the disk.
//
// Whoever can write into the memory changes every machine that is restored from it, those that run
// included: the descriptors given out can only be read from.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "payload/microvm/accelerator.h"

namespace trivet::payload::microvm {

// All that must be the same in a saved machine and its clones.
struct TemplateInputs {
  std::string qemu;  // see identify_program()
  std::string vmm;   // trivet-vmm, which makes QEMU's command line
  std::string kernel_digest;
  std::string initramfs_digest;
  Accelerator accelerator = Accelerator::kTcg;
  uint64_t tsc_khz = 0;
  uint64_t vcpus = 0;
  uint64_t memory_mib = 0;
  bool acpi = true;
  std::vector<std::string> devices;  // in order, and whatever else shapes the machine
  std::string processor;             // see processor_identity()
};
// 64 hex digits. Pure.
[[nodiscard]] std::string template_key(const TemplateInputs& inputs);

// Which program it is, without running it: an update gives its file another identity.
Result<std::string> identify_program(const std::string& path);

struct Template {
  std::string directory;
  UniqueFd memory;  // all of them to read
  UniqueFd state;
  UniqueFd disk;  // invalid where the maker left none
};

struct TemplateLimits {
  size_t count = 8;
  uint64_t bytes = 4ULL << 30U;  // as they lie on the disk
};

struct TemplateInfo {
  std::string key;
  std::string what;    // for people
  uint64_t bytes = 0;  // as it lies on the disk
  int64_t used = 0;    // last, in nanoseconds since 1970
};

class TemplateStore {
 public:
  // `name` is that of a directory in vm_dir: the limits are for what is in there.
  explicit TemplateStore(const std::string& vm_dir, TemplateLimits limits = {},
                         std::string_view name = "templates");

  // Nothing when there is none that can be trusted; one that can't is removed.
  [[nodiscard]] std::optional<Template> find(const std::string& key) const;

  // Open files of a template that is being made: the memory has its size already.
  struct Files {
    int memory = -1;
    int state = -1;
    std::string disk;  // where the maker may make a file
  };
  using Maker = std::function<Result<>(const Files&)>;
  // One process makes a template while the others wait (kYes) or go without (kNo: nothing is
  // returned). Whatever `maker` leaves appears only when it succeeded. The least recently used
  // templates beyond the limits go, never the new one.
  enum class Wait { kYes, kNo };
  Result<std::optional<Template>> make(const std::string& key, uint64_t memory_bytes,
                                       const std::string& what, Wait wait,
                                       const Maker& maker) const;

  // Most recently used first.
  Result<std::vector<TemplateInfo>> list() const;
  // Removes all that nobody is making, and what crashes left. Returns the bytes that got free.
  Result<uint64_t> clear() const;

 private:
  [[nodiscard]] std::string path_of(const std::string& key) const;
  Result<Template> make_locked(const std::string& key, uint64_t memory_bytes,
                               const std::string& what, const Maker& maker) const;
  Result<> enforce_limits(const std::string& newest) const;

  std::string directory_;
  TemplateLimits limits_;
};

// Of machines that were saved with their container made, which are of use to few others.
[[nodiscard]] TemplateStore warm_templates(const std::string& vm_dir);

// TemplateStore::clear() for both kinds.
Result<uint64_t> clear_templates(const std::string& vm_dir);

}  // namespace trivet::payload::microvm
