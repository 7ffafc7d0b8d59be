// The section "registries" of config.yml, whose names are hosts: it is no part of the table of
// keys.
#pragma once

#include <string>

#include "base/json.h"
#include "config/findings.h"
#include "config/read.h"
#include "trivet/config.h"
#include "yaml/reader.h"

namespace trivet::config {

inline constexpr const char* kRegistriesKey = "registries";
inline constexpr const char* kRegistriesHelp =
    "Mirrors, plain HTTP and certificate authorities, by the host of a registry";

// Of a file's `member`, into `settings`. What a stronger file says of a registry it says instead,
// value by value.
void read_registries(const yaml::Node::Member& member, const std::string& file, Settings& settings,
                     Origins& origins, Findings& findings);

// The key of one value: `registries.docker.io.mirrors`.
struct RegistryValue {
  std::string key;
  const char* help;
  nlohmann::ordered_json value;
};
// Those that somebody has set.
[[nodiscard]] std::vector<RegistryValue> registry_values(const Settings& settings);

// The section's JSON schema.
[[nodiscard]] nlohmann::ordered_json registries_schema();

}  // namespace trivet::config
