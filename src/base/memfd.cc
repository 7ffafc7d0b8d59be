#include "base/memfd.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fs.h"

namespace trivet {

Result<UniqueFd> sealed_memfd(const char* name, std::string_view content, unsigned flags) {
  int raw = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
  // Kernels before 6.3 don't know MFD_EXEC and make every memfd executable.
  if (raw < 0 && errno == EINVAL && flags != 0)
    raw = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (raw < 0) return fail_errno("memfd_create \"{}\"", name);
  UniqueFd fd(raw);
  TRY(write_all(fd.get(), content, name));
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    return fail_errno("seal \"{}\"", name);
  }
  return fd;
}

}  // namespace trivet
