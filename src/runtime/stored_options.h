// What a record keeps of the options it was made with: the JSON that describe_options() printed.
// What can't be read counts as absent: the record is not lost for it.
#pragma once

#include <string>
#include <vector>

#include "runtime/plan.h"

namespace trivet::runtime {

struct StoredMount {
  std::string type;  // "bind", "volume", "tmpfs"
  std::string name;  // of a volume
  std::string source;
  std::string destination;
};
[[nodiscard]] std::vector<StoredMount> stored_mounts(const std::string& options_json);

// The namespaces of other containers that are joined at each start.
[[nodiscard]] std::vector<Join> stored_joins(const std::string& options_json);

}  // namespace trivet::runtime
