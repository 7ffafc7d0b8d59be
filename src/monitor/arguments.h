// The command line of programs that the library starts before their work is known, and how they
// wait for it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/record.h"

namespace trivet::monitor {

struct Arguments {
  Directories directories;
  std::string id;
  UniqueFd sync;             // where the start is reported
  UniqueFd go;               // see is_told_to_go()
  UniqueFd given;            // a container's foreground client, or a pod's journal; may be invalid
  bool hold = false;         // MonitorStart::hold
  bool own_network = false;  // MonitorStart::own_network
};
// Without the program's name.
Result<Arguments> parse_arguments(const std::vector<std::string>& words);

// We are started before the container is made, so that the one passes beside the other. False: it
// was not made, or whoever made it is gone.
bool is_told_to_go(UniqueFd go);

// For a process of one thread that lives long and does little: memory is given back early.
void stay_small();

}  // namespace trivet::monitor
