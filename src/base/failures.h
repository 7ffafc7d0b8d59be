// Several steps that are all taken whatever becomes of the others.
#pragma once

#include <optional>

#include "base/result.h"

namespace trivet {

// The first failure; the others become notes on it.
class Failures {
 public:
  void add(Result<> result) {
    if (result) return;
    if (first_) {
      first_ = std::move(*first_).note(result.error());
    } else {
      first_ = std::move(result.error());
    }
  }
  Result<> result() && {
    if (first_) return std::unexpected(*std::move(first_));
    return {};
  }

 private:
  std::optional<Error> first_;
};

}  // namespace trivet
