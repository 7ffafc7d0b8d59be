// One file of configuration: YAML to settings, checked against the table of keys.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/findings.h"
#include "config/keys.h"
#include "yaml/reader.h"

namespace trivet::config {

using Origins = std::vector<std::pair<std::string, Origin>>;
void note_origin(Origins& origins, std::string_view key, const Origin& origin);

// The only document of a file; nothing when it is empty or not there. A file that is no regular
// one, is larger than configuration is, or can't be read is an error; so is a symlink with
// `follow` kNo.
enum class Follow { kYes, kNo };
Result<yaml::NodePtr> read_document(const std::string& file, Follow follow);

// Stores what `root` says into `settings`, and where it stands into `origins`. What is wrong is
// left as it was. With kProject only keys that a project may set are taken, whatever their value.
void read_settings(const yaml::Node& root, const std::string& file, ConfigFileKind kind,
                   Settings& settings, Origins& origins, Findings& findings);

}  // namespace trivet::config
