// How the default of what isolates a container reaches the one that chooses.
#pragma once

namespace trivet::runtime {

// An annotation of a run's options, never of an image: a name of base/runtime_name.h, for a
// container of which neither the options nor the image say anything else.
inline constexpr const char* kDefaultRuntimeAnnotation = "dev.trivet.default-runtime";

}  // namespace trivet::runtime
