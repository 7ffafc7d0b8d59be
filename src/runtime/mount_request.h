// What `-v`, `--mount` and `--tmpfs` mean. Parsing is pure: nothing is looked up on the host.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trivet/engine.h"

namespace trivet::runtime {

// One mount that was asked for, with a checked destination and the options of an OCI mount.
struct MountRequest {
  enum class Kind { kBind, kVolume, kTmpfs };
  Kind kind = Kind::kBind;
  std::string source;       // kBind: absolute host path; kVolume: its name, empty when anonymous
  std::string destination;  // absolute and normal
  std::vector<std::string> options;
  bool read_only = false;
  bool copy_up = false;  // kVolume: an empty volume gets the image's content
  bool relabel = false;  // z or Z: matters with SELinux only
  std::string sub_path;  // kBind, kVolume: below the source, however symlinks in it point
};

// 1 to 255 bytes of [A-Za-z0-9_.-], starting with a letter or digit, as Docker has it.
Result<> check_volume_name(std::string_view name);

// Absolute, without "." and "..", repeated and trailing slashes. kInvalidArgument for a relative
// one.
Result<std::string> normal_path(std::string_view path);

// `SRC:DST[:OPTIONS]`, or `DST` for an anonymous volume. SRC is a host path when it starts with
// '/' or '.' (relative ones start at `working_directory`), else a volume's name.
Result<MountRequest> parse_volume(std::string_view text, const std::string& working_directory);
// The members of `--mount`.
Result<MountRequest> parse_mount(const MountOption& option, const std::string& working_directory);
// `DST[:OPTIONS]`.
Result<MountRequest> parse_tmpfs(std::string_view text);

}  // namespace trivet::runtime
