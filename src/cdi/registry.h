// The CDI specifications of a host: found in directories, and what they define together.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cdi/spec.h"

namespace trivet::cdi {

// /etc/cdi for what an administrator writes, /var/run/cdi for what programs do.
[[nodiscard]] const std::vector<std::string>& default_directories();

// A file, or a directory, that says nothing usable.
struct Broken {
  std::string path;
  Error error;
};

// A device and the specification it stands in, as indices: of Registry::specs, of its devices.
struct DeviceIndex {
  size_t spec = 0;
  size_t device = 0;
};

struct Registry {
  std::vector<std::string> directories;
  std::vector<Spec> specs;
  // By qualified name. Of the same name in several directories the last directory's counts.
  std::map<std::string, DeviceIndex> devices;
  // Names that two files of the same directory define: neither counts. Name -> the files.
  std::map<std::string, std::vector<std::string>> conflicts;
  std::vector<Broken> broken;

  [[nodiscard]] const Device& device(DeviceIndex index) const {
    return specs[index.spec].devices[index.device];
  }
  [[nodiscard]] bool has_kind(std::string_view kind) const;
};

// Reads the *.json and *.yaml of the directories, the later of which take precedence. A directory
// that does not exist is fine; what can't be read or understood is in `broken`.
[[nodiscard]] Registry load_registry(const std::vector<std::string>& directories);

// The pure part: what specifications define together. `priorities[i]` is that of `specs[i]`.
[[nodiscard]] Registry merge_specs(std::vector<Spec> specs, const std::vector<size_t>& priorities);

}  // namespace trivet::cdi
