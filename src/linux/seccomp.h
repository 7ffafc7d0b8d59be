// seccomp: a profile of config.json to a BPF program, compiled once and cached by its digest.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"
#include <linux/filter.h>

namespace trivet::seccomp {

struct Program {
  std::vector<sock_filter> instructions;
  uint32_t flags = 0;           // SECCOMP_FILTER_FLAG_* for seccomp(2)
  bool wants_listener = false;  // the profile has SCMP_ACT_NOTIFY
};

// Compiles with libseccomp. Unknown system calls are left out (as runc and crun do); unknown
// actions, architectures, operators and flags are errors that name the field.
Result<Program> compile(const oci::Seccomp& profile);

// The same through a cache directory: one file a digest of (profile, libseccomp version, kernel's
// architecture), written by rename, its content checked by a digest of its own before use. A
// damaged entry is compiled anew. An empty directory name means no cache.
Result<Program> compile_cached(const oci::Seccomp& profile, const std::string& cache_dir);

// Docker's default rules (moby's profile, kept as data in src/linux/seccomp_default.json and
// embedded at build time), resolved for the capabilities the container gets, this architecture and
// this kernel's version.
Result<oci::Seccomp> default_profile(const std::vector<std::string>& capabilities);

// A profile file in Docker's JSON form (includes and excludes, archMap) or the plain OCI form.
Result<oci::Seccomp> parse_profile(std::string_view json,
                                   const std::vector<std::string>& capabilities);

// The instructions as they are in memory.
[[nodiscard]] std::string_view bytes_of(const Program& program);

// What `features` lists.
[[nodiscard]] std::vector<std::string> known_actions();
[[nodiscard]] std::vector<std::string> known_operators();
[[nodiscard]] std::vector<std::string> known_architectures();
[[nodiscard]] std::vector<std::string> known_flags();

}  // namespace trivet::seccomp
