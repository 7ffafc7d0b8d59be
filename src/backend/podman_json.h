// What podman prints, as values. All fail with kCorrupt for what is not as expected.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trivet/backend.h"

namespace trivet::backend {

// Of `podman ps --all --no-trunc --sort created --format json`, which has the oldest first: newest
// first. The sizes when they are there.
Result<std::vector<ContainerInfo>> parse_podman_ps(std::string_view text);

// Of `podman images --no-trunc --format json`.
Result<std::vector<ImageInfo>> parse_podman_images(std::string_view text);

// Of `podman image inspect` for one image.
struct PodmanImage {
  ImageInfo info;
  std::vector<ImageHistoryEntry> history;  // newest first
};
Result<PodmanImage> parse_podman_image(std::string_view text);

}  // namespace trivet::backend
