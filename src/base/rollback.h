// Rollback: a scope for operations of several steps.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace trivet {

// Each step registers its undo; unless commit() is called, they run newest first. Use fail() to
// attach what went wrong while undoing to the error that caused it; the destructor covers the ways
// out that have no error to attach to.
class Rollback {
 public:
  using Undo = std::function<Result<>()>;

  Rollback() = default;
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  ~Rollback() {
    for (; !undos_.empty(); undos_.pop_back()) (void)undos_.back()();
  }

  void add(Undo undo) { undos_.push_back(std::move(undo)); }
  void commit() { undos_.clear(); }

  // Undoes everything now; failures become notes on `cause`, which is returned.
  Error fail(Error cause) {
    for (; !undos_.empty(); undos_.pop_back()) {
      if (auto undone = undos_.back()(); !undone) cause = std::move(cause).note(undone.error());
    }
    return cause;
  }

 private:
  std::vector<Undo> undos_;
};

}  // namespace trivet
