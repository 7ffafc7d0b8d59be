#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>

#include "base/text.h"
#include "image/registry_session.h"

namespace trivet::image {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay{200};
// A registry that wants us to wait longer is not waited for: the person can try again later.
constexpr std::chrono::seconds kMaxRetryAfter{60};

bool is_transient(const Result<HttpResponse>& result) {
  if (!result) return result.error().code() == ErrorCode::kNetwork;
  const int status = result->status;
  return status == 408 || status == 429 || (status >= 500 && status != 501);
}

// Retry-After in seconds (the form with a date is rare: the back-off stands in for it); otherwise
// doubling from kFirstDelay, up to a quarter more so that clients spread.
milliseconds delay_before(int attempt, const Result<HttpResponse>& last) {
  if (last) {
    const auto seconds = parse_int(last->header("retry-after"));
    if (seconds && *seconds >= 0) {
      return std::chrono::seconds(std::min<int64_t>(*seconds, int64_t{24} * 3600));
    }
  }
  const milliseconds base = kFirstDelay * (1 << attempt);
  thread_local std::minstd_rand random(std::random_device{}());
  return base + milliseconds(std::uniform_int_distribution<int64_t>(0, base.count() / 4)(random));
}

// False when asked to stop.
bool wait(milliseconds delay, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, delay, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace

Result<HttpResponse> retry_request(const Bounds& bounds,
                                   const std::function<Result<HttpResponse>()>& attempt,
                                   const RegistryConnection::OnRetry& on_retry) {
  for (int count = 0;; ++count) {
    Result<HttpResponse> result = attempt();
    if (!is_transient(result) || count + 1 == kMaxAttempts) return result;
    const milliseconds delay = delay_before(count, result);
    if (delay > kMaxRetryAfter || Clock::now() + delay >= bounds.deadline) return result;
    if (on_retry) {
      on_retry(result ? fmt::format("the registry answered {}", result->status)
                      : result.error().message());
    }
    if (!wait(delay, bounds.stop)) return fail(ErrorCode::kCanceled, "canceled");
  }
}

}  // namespace trivet::image
