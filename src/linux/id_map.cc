#include "linux/id_map.h"

#include <algorithm>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"

namespace trivet {

namespace {

Result<> write_map(pid_t pid, const char* file, const char* helper, const std::string& map) {
  if (geteuid() == 0 || maps_one_id(map)) {
    return write_existing(AT_FDCWD, fmt::format("/proc/{}/{}", pid, file), map);
  }
  std::vector<std::string> command{helper, fmt::format("{}", pid)};
  for (const std::string& line : split(trim(map), '\n')) {
    for (std::string& word : split(line, ' ')) command.push_back(std::move(word));
  }
  const auto output = run_program(command);
  if (!output) {
    return std::unexpected(
        Error(output.error())
            .hint(fmt::format("{} maps further ids; Debian's package is uidmap", helper)));
  }
  if (output->ok()) return {};
  return fail(ErrorCode::kSystem, "{}: {}", helper, trim(output->stderr_text));
}

// More would not fit: the kernel's limits are 2^32 ids and 340 lines.
constexpr int64_t kIds = int64_t{1} << 32U;
constexpr size_t kLines = 340;

}  // namespace

bool maps_one_id(std::string_view map) {
  return std::ranges::count(map, '\n') == 1 && map.ends_with(" 1\n");
}

Result<> write_id_maps(pid_t pid, const std::string& uid_map, const std::string& gid_map) {
  // "deny" is what lets an ordinary user write the group map at all (user_namespaces(7)).
  if (geteuid() != 0 && maps_one_id(gid_map)) {
    TRY(write_existing(AT_FDCWD, fmt::format("/proc/{}/setgroups", pid), "deny"));
  }
  TRY_IN(write_map(pid, "uid_map", "newuidmap", uid_map), "linux.uidMappings");
  TRY_IN(write_map(pid, "gid_map", "newgidmap", gid_map), "linux.gidMappings");
  return {};
}

std::string map_with_subordinates(std::string_view text, std::string_view name, uint32_t id) {
  std::string map = fmt::format("0 {} 1\n", id);
  int64_t inside = 1;
  size_t lines = 1;
  for (const std::string& line : split(text, '\n')) {
    const std::vector<std::string> words = split(line, ':');
    if (words.size() != 3 || (words[0] != name && words[0] != fmt::format("{}", id))) continue;
    const auto first = parse_int(words[1]);
    const auto count = parse_int(words[2]);
    if (!first || !count || *first <= 0 || *count <= 0) continue;
    if (*count >= kIds - *first || *count >= kIds - inside || lines == kLines) continue;
    map += fmt::format("{} {} {}\n", inside, *first, *count);
    inside += *count;
    ++lines;
  }
  return map;
}

}  // namespace trivet
