#include "payload/microvm/guest_filter.h"

#include "linux/seccomp.h"

namespace trivet::payload::microvm {

Result<> compile_filter(const std::string& cache, oci::Spec& guest, guest::CreateRequest& request) {
  auto& profile = guest.linux_config->seccomp;
  if (!profile) return {};
  const seccomp::Program program =
      TRY_IN(seccomp::compile_cached(*profile, cache), "linux.seccomp");
  if (program.wants_listener) {
    return fail(ErrorCode::kUnsupported,
                "linux.seccomp: SCMP_ACT_NOTIFY: a microVM's calls can't be seen from the host");
  }
  request.seccomp = guest::SeccompFilter{.instructions = std::string(seccomp::bytes_of(program)),
                                         .flags = program.flags};
  profile.reset();
  return {};
}

}  // namespace trivet::payload::microvm
