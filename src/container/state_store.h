// STATE_ROOT/ID: what a container is on disk, for later processes.
//
//   state.json   Record, replaced by rename
//   config.json  the spec as it was asked for
//   shell.json   the one of the shell, where that differs
//   start.sock   while the container waits for start()
//   rootfs       the mount point of an overlay
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "container/container.h"

namespace trivet::container {

[[nodiscard]] std::string print_record(const Container::Record& record);
Result<Container::Record> parse_record(std::string_view text);

Result<> write_record(const std::string& directory, const Container::Record& record);
Result<Container::Record> read_record(const std::string& directory);

// Claims STATE_ROOT/ID: kAlreadyExists, kLimitExceeded.
Result<std::string> claim_directory(const std::string& state_root, const std::string& id,
                                    size_t max_containers);

// A listening socket at DIRECTORY/start.sock, and a connection to it. Both work with paths of any
// length. connect: kWrongState when nobody listens any more.
Result<UniqueFd> listen_for_start(const std::string& directory);
Result<UniqueFd> connect_to_start(const std::string& directory);

}  // namespace trivet::container
