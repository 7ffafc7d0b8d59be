// What a plan needs to know, gathered from this host, the image store and other containers.
#pragma once

#include <string>

#include "base/result.h"
#include "runtime/home.h"
#include "runtime/plan.h"

namespace trivet::runtime {

// This host, with lookups that go to it when a plan asks.
[[nodiscard]] HostFacts make_host_facts();

// The image of `options`, pulled when the pull policy says so.
Result<image::Image> resolve_image(const Home& home, const RunOptions& options);
Result<RootFacts> image_root(const Home& home, const image::Image& image,
                             const RunOptions& options);
// --rootfs: the directory with symlinks resolved. It must not be "/", must hold one of bin, usr and
// etc, and must not contain trivet's own data.
Result<std::string> check_rootfs(const std::string& directory, const std::string& data_directory,
                                 bool writable);
Result<RootFacts> directory_root(const std::string& directory, const RunOptions& options);

Result<JoinedContainers> resolve_joins(const Home& home, const RunOptions& options);

}  // namespace trivet::runtime
