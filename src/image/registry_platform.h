// Which entry of an index is for us.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/image_spec.h"

namespace trivet::image {

// This host's: "linux", Go's name of the architecture, the variant for arm.
[[nodiscard]] oci::Platform host_platform();
// What a host runs when nobody asks for a platform, best first: its own, then WebAssembly's.
[[nodiscard]] std::vector<oci::Platform> runnable_platforms();

// "linux/arm64/v8".
[[nodiscard]] std::string print_platform(const oci::Platform& platform);

// True when what is made for `offered` runs where `wanted` is asked for: fields that are empty on
// either side match, "arm64" is "arm64/v8", "x86_64" is "amd64" and so on.
[[nodiscard]] bool platform_matches(const oci::Platform& offered, const oci::Platform& wanted);

// The entries that fit, best first: the exact variant, then none, then lower ones of arm (v7 runs
// v6), at last what names no platform (nested indexes, lone manifests). Attestations (platform
// unknown/unknown) never fit. kNotFound, with the list of what is there, when none does.
Result<std::vector<oci::Descriptor>> choose_manifests(const oci::Index& index,
                                                      const oci::Platform& wanted);
// The same for the first of several platforms for which there is anything.
Result<std::vector<oci::Descriptor>> choose_manifests(const oci::Index& index,
                                                      const std::vector<oci::Platform>& wanted);

}  // namespace trivet::image
