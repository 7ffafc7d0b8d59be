// The library's view of the image store and of registries.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/reference.h"
#include "runtime/home.h"
#include "trivet/engine.h"

namespace trivet::runtime {

Result<image::Image> pull_image(const Home& home, const image::Reference& reference,
                                const TransferOptions& options);
Result<> push_image(const Home& home, const std::string& image, const std::string& destination,
                    const TransferOptions& options);

[[nodiscard]] ImageInfo describe_image(const image::Image& image);
// The newest step first.
[[nodiscard]] std::vector<ImageHistoryEntry> image_history(const image::Image& image);
// The document of `trivet image inspect`: Docker's names.
[[nodiscard]] std::string inspect_image(const image::Image& image);

// Ids of the images that containers were made from.
Result<std::set<std::string>> used_images(const Home& home);

// Both with the disks that microVMs had of them.
Result<std::vector<std::string>> remove_image(const Home& home, std::string_view name, bool force);
Result<PruneResult> prune_images(const Home& home, bool all);

}  // namespace trivet::runtime
