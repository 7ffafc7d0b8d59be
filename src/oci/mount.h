#pragma once

#include <algorithm>

#include "oci/spec.h"

namespace trivet::oci {

// Whether its source is a path on the host. That of any other is a name that the kernel gets.
[[nodiscard]] inline bool is_bind(const Mount& mount) {
  return mount.type == "bind" || std::ranges::any_of(mount.options, [](const std::string& option) {
           return option == "bind" || option == "rbind";
         });
}

}  // namespace trivet::oci
