// Downloading one blob into the store, and telling about it.
#pragma once

#include <mutex>
#include <string>

#include "base/result.h"
#include "image/registry_session.h"
#include "image/store.h"
#include "oci/image_spec.h"

namespace trivet::image {

// Calls the user's callback, one call at a time, from any thread.
class ProgressSink {
 public:
  explicit ProgressSink(const PullProgress& callback) : callback_(callback) {}
  void report(const PullEvent& event) {
    if (!callback_) return;
    const std::lock_guard lock(mutex_);
    callback_(event);
  }
  // An OnRetry that reports kRetry for a blob.
  [[nodiscard]] RegistryConnection::OnRetry retries_of(std::string digest) {
    return [this, digest = std::move(digest)](const std::string& why) {
      report({.kind = PullEvent::Kind::kRetry, .digest = digest, .message = why});
    };
  }

 private:
  const PullProgress& callback_;
  std::mutex mutex_;
};

// Has the blob in the store, verified, when it returns. Continues what an earlier attempt left;
// kLimitExceeded when it is declared larger than `limit`, kDigestMismatch when the content is wrong
// twice.
Result<> download_blob(RegistryConnection& connection, const Store& store,
                       const oci::Descriptor& blob, uint64_t limit, ProgressSink& progress);

}  // namespace trivet::image
