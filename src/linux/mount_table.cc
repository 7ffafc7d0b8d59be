#include "linux/mount_table.h"

#include <algorithm>

#include "base/fs.h"
#include "base/text.h"

namespace trivet {

namespace {

// Space, tab, newline and backslash are octal escapes.
std::string unescape(std::string_view text) {
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && is_octal(text[i + 1]) && is_octal(text[i + 2]) &&
        is_octal(text[i + 3])) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::vector<MountEntry> parse_mount_table(std::string_view mountinfo) {
  // ID PARENT MAJOR:MINOR ROOT MOUNT-POINT OPTIONS … - TYPE SOURCE SUPER-OPTIONS
  std::vector<MountEntry> mounts;
  for (const std::string& line : split(mountinfo, '\n')) {
    const size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    const std::vector<std::string> before = split(line.substr(0, separator), ' ');
    const std::vector<std::string> after = split(line.substr(separator + 3), ' ');
    if (before.size() < 6 || after.size() < 3) continue;
    mounts.push_back({unescape(before[3]), unescape(before[4]), after[0], split(after[2], ',')});
  }
  return mounts;
}

Result<std::vector<MountEntry>> read_mount_table() {
  return parse_mount_table(TRY(read_file("/proc/self/mountinfo")));
}

}  // namespace trivet
