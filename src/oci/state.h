// The state of a container as JSON: what `trivet-oci state` prints, hooks get on stdin and a
// seccomp listener gets with its fd (runtime-spec runtime.md, State).
#pragma once

#include <map>
#include <string>
#include <sys/types.h>

#include "oci/spec.h"

namespace trivet::oci {

struct State {
  std::string oci_version = std::string(kSpecVersion);
  std::string id;
  std::string status;  // creating, created, running, paused or stopped
  pid_t pid = 0;       // 0 when stopped
  std::string bundle;  // absolute
  std::map<std::string, std::string> annotations;
  // What runc adds, left out when empty; containerd reads rootfs and created.
  std::string rootfs;
  std::string created;  // RFC 3339
  std::string owner;    // name of the user
};

// For people and programs, indented by two spaces as runc does; without a newline at the end.
[[nodiscard]] std::string print_state(const State& state);
// The same on one line, for hooks.
[[nodiscard]] std::string print_state_line(const State& state);
// "[STATE,…]" on one line: `list --format json`.
[[nodiscard]] std::string print_states(const std::vector<State>& states);

// What goes to the socket of a seccomp listener (config-linux.md, The Container Process State),
// with the one fd named "seccompFd" beside it.
[[nodiscard]] std::string print_container_process_state(const State& state, pid_t process,
                                                        const std::string& metadata);

}  // namespace trivet::oci
