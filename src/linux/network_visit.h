// A visit of the calling thread to another network namespace.
#pragma once

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet {

// What is made meanwhile belongs to that namespace for ever: a socket, a child with all it will do.
// Nothing else should happen during a visit. When it ends the thread is back, or the process ends:
// to go on in a network that is not ours would be worse.
class NetworkVisit {
 public:
  // `network_namespace` is a descriptor of it; below 0 the visit is one to where the thread is.
  static Result<NetworkVisit> begin(int network_namespace);
  NetworkVisit(NetworkVisit&&) noexcept = default;
  NetworkVisit(const NetworkVisit&) = delete;
  NetworkVisit& operator=(const NetworkVisit&) = delete;
  NetworkVisit& operator=(NetworkVisit&&) = delete;
  ~NetworkVisit();

 private:
  explicit NetworkVisit(UniqueFd home) : home_(std::move(home)) {}
  UniqueFd home_;
};

}  // namespace trivet
