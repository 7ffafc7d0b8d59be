// What this host has of all that microVMs need, and how to get what is missing: for `trivet info`,
// `trivet vm info` and `trivet-oci features`.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace trivet::payload::microvm {

struct Part {
  std::string name;  // "qemu", "kernel", "kvm"…
  bool available = false;
  bool required = true;  // no microVM without it
  std::string found;     // a path, a version; empty when it is not available
  std::string reason;    // why it is not, for people
  std::string hint;      // what they can do
};

struct Support {
  std::vector<Part> parts;
  // All that is required is there.
  [[nodiscard]] bool available() const;
  // What is missing of it, in one sentence; empty when it is available.
  [[nodiscard]] std::string reason() const;
  [[nodiscard]] std::string hint() const;
};

// How thoroughly: kPresence only looks for files; kAll also asks QEMU for its version and probes
// KVM, which takes some 30 ms the first time.
enum class Depth { kPresence, kAll };
Support microvm_support(const std::string& vm_dir, Depth depth);

// Debian's and others' place of virtiofsd, which is no program for people; empty when there is
// none.
[[nodiscard]] std::string find_virtiofsd();

}  // namespace trivet::payload::microvm
