// The public class: trivet/pool.h.
#include "runtime/open_home.h"
#include "runtime/pool.h"
#include "trivet/pool.h"

namespace trivet {

struct Pools::State {
  runtime::Home home;
};

Pools::Pools(std::unique_ptr<State> state) : state_(std::move(state)) {}
Pools::Pools(Pools&&) noexcept = default;
Pools& Pools::operator=(Pools&&) noexcept = default;
Pools::~Pools() = default;

Result<Pools> Pools::open(const EngineOptions& options) {
  return Pools(std::make_unique<State>(TRY(runtime::open_home(options))));
}

Result<PoolInfo> Pools::create(const PoolOptions& options) {
  return runtime::create_pool(state_->home, options);
}

Result<Engine::RunResult> Pools::run(std::string_view name, const TakeOptions& options) {
  return runtime::run_from_pool(state_->home, name, options);
}

Result<PoolInfo> Pools::resize(std::string_view name, size_t size) {
  return runtime::resize_pool(state_->home, name, size);
}

Result<> Pools::remove(std::string_view name, bool force) {
  return runtime::remove_pool(state_->home, name, force);
}

Result<PoolInfo> Pools::find(std::string_view name) {
  return runtime::describe_pool(state_->home, name);
}

Result<std::vector<PoolInfo>> Pools::list() {
  return runtime::list_pools(state_->home);
}

Result<std::string> Pools::inspect(std::string_view name) {
  return runtime::inspect_pool(state_->home, name);
}

}  // namespace trivet
