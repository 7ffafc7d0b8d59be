#include "image/registry_workers.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace trivet::image {

namespace {

constexpr int kMaxParallel = 256;

class Workers {
 public:
  Workers(const std::shared_ptr<RegistrySession>& session, const Bounds& bounds, size_t count,
          const Work& work)
      : session_(session),
        bounds_(bounds),
        count_(count),
        work_(work),
        user_stop_(bounds.stop, [this] { stop_.request_stop(); }) {
    bounds_.stop = stop_.get_token();
  }

  Result<> run(size_t parallel) {
    {
      std::vector<std::jthread> threads;
      while (threads.size() + 1 < std::min(parallel, count_) && start_one(threads)) continue;
      run_one();
    }
    if (error_) return std::unexpected(std::move(*error_));
    return {};
  }

 private:
  // False when the host has no thread left: fewer do the same work.
  bool start_one(std::vector<std::jthread>& threads) {
    try {
      threads.emplace_back([this] { run_one(); });
      return true;
    } catch (const std::system_error&) {
      return false;
    }
  }

  void run_one() {
    auto connection = RegistryConnection::open(session_, bounds_);
    if (!connection) return failed(std::move(connection).error());
    for (size_t i = next_++; i < count_ && !stop_.stop_requested(); i = next_++) {
      auto done = work_(*connection, i, bounds_.stop);
      if (!done) return failed(std::move(done).error());
    }
    if (stop_.stop_requested()) failed(Error(ErrorCode::kCanceled, "canceled"));
  }

  // What the others say after the first one stopped them is only "canceled".
  void failed(Error error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    stop_.request_stop();
  }

  const std::shared_ptr<RegistrySession>& session_;
  Bounds bounds_;
  size_t count_;
  const Work& work_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::optional<Error> error_;
  std::stop_source stop_;
  std::stop_callback<std::function<void()>> user_stop_;
};

}  // namespace

Result<> for_each_in_parallel(const std::shared_ptr<RegistrySession>& session, const Bounds& bounds,
                              size_t count, int parallel, const Work& work) {
  if (count == 0) return {};
  Workers workers(session, bounds, count, work);
  return workers.run(static_cast<size_t>(std::clamp(parallel, 1, kMaxParallel)));
}

}  // namespace trivet::image
