#include "runtime/spare_process.h"

#include <sys/single_threaded.h>
#include <utility>

namespace trivet {

SpareProcess::SpareProcess(std::unique_ptr<State> state) : state_(std::move(state)) {}
SpareProcess::~SpareProcess() = default;

Result<std::shared_ptr<SpareProcess>> SpareProcess::make() {
  // A copy has only the thread that made it, and locks that others held stay locked in it.
  if (__libc_single_threaded == 0) {
    return fail(ErrorCode::kWrongState, "a process with threads can't be copied");
  }
  auto state = std::make_unique<State>();
  state->spare.emplace(TRY(monitor::Spare::make()));
  return std::shared_ptr<SpareProcess>(new SpareProcess(std::move(state)));
}

std::optional<monitor::Spare> runtime::take_spare(SpareProcess& process) {
  SpareProcess::State& state = process.state();
  const std::scoped_lock lock(state.mutex);
  auto taken = std::move(state.spare);
  state.spare.reset();
  return taken;
}

}  // namespace trivet
