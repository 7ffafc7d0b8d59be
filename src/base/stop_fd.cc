#include "base/stop_fd.h"

#include <cstdint>
#include <sys/eventfd.h>

namespace trivet {

StopFd::StopFd(const std::stop_token& token)
    : fd_(token.stop_possible() ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1),
      on_stop_(token, [this] {
        const uint64_t one = 1;
        (void)!::write(fd_.get(), &one, sizeof one);
      }) {}

}  // namespace trivet
