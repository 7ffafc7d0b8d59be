#include "base/pipe_signal.h"

#include <ctime>

namespace trivet {

PipeSignalBlock::PipeSignalBlock() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGPIPE);
  sigset_t pending;
  was_pending_ = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
  (void)pthread_sigmask(SIG_BLOCK, &set_, &saved_);
}

PipeSignalBlock::~PipeSignalBlock() {
  const timespec now{};
  if (!was_pending_) (void)sigtimedwait(&set_, nullptr, &now);
  (void)pthread_sigmask(SIG_SETMASK, &saved_, nullptr);
}

}  // namespace trivet
