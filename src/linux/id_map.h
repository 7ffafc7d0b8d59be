// The ids of a user namespace (user_namespaces(7)): lines of "INSIDE OUTSIDE COUNT".
#pragma once

#include <string>
#include <string_view>
#include <sys/types.h>

#include "base/result.h"

namespace trivet {

// One line for one id: what the kernel lets an ordinary user write, if it is his own.
[[nodiscard]] bool maps_one_id(std::string_view map);

// Writes the maps of a process that has just made its user namespace and waits. For more than one
// id an ordinary user needs the programs newuidmap(1) and newgidmap(1), which look into /etc/subuid
// and /etc/subgid. With one group id setgroups(2) is forbidden in there: otherwise the kernel takes
// no such map. Errors say which of the two maps it was, in the words of config.json.
Result<> write_id_maps(pid_t pid, const std::string& uid_map, const std::string& gid_map);

// The lines for `name` and `id` in the text of /etc/subuid or /etc/subgid (subuid(5)), as a map
// whose 0 is `id` itself and whose ids from 1 on are the subordinate ones, as far as there are any.
// Malformed lines are passed over, as newuidmap does.
[[nodiscard]] std::string map_with_subordinates(std::string_view text, std::string_view name,
                                                uint32_t id);

}  // namespace trivet
