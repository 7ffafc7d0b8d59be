// Several connections at work on one list.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "base/result.h"
#include "image/registry_session.h"

namespace trivet::image {

// Calls `work` for every index below `count`, up to `parallel` (1 to 256) at a time, each worker
// with a connection of its own. The first failure is returned; it stops the others, as
// `bounds.stop` does: `stop` says so to work that does not use its connection.
using Work =
    std::function<Result<>(RegistryConnection& connection, size_t index, std::stop_token stop)>;
Result<> for_each_in_parallel(const std::shared_ptr<RegistrySession>& session, const Bounds& bounds,
                              size_t count, int parallel, const Work& work);

}  // namespace trivet::image
