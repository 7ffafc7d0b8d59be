// The project's file: where it is looked for, and whether it is trivet's.
#pragma once

#include <string>

#include "yaml/reader.h"

namespace trivet::config {

inline constexpr const char* kProjectFile = "project.yml";

// The nearest project.yml from `directory` upwards, no further than the root of the repository or
// the user's home directory, whichever comes first. Where neither is above, only in `directory`
// itself. Empty: there is none.
[[nodiscard]] std::string find_project_file(const std::string& directory);

// Other tools have files of this name: one without a key of trivet's is none of ours. A near miss
// of "runtime" makes it ours, so that a typo is told.
[[nodiscard]] bool is_trivets(const yaml::Node& root);

}  // namespace trivet::config
