// The directories that one Engine works on, and its image store.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/store.h"
#include "monitor/record.h"
#include "trivet/spare_process.h"
#include "trivet/types.h"

namespace trivet::runtime {

struct Home {
  monitor::Directories directories;
  size_t max_containers = 1024;
  std::vector<RegistrySettings> registries;
  image::Store store;
  std::shared_ptr<SpareProcess> spare;  // may be null

  [[nodiscard]] std::string containers() const { return directories.data + "/containers"; }
  [[nodiscard]] std::string pods() const { return directories.data + "/pods"; }
  [[nodiscard]] std::string volumes() const { return directories.data + "/volumes"; }
};

}  // namespace trivet::runtime
