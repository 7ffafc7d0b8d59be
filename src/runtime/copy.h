// `cp`: files between the host and a container, which may run or not.
//
// A running container is entered through the root of its init, held by a descriptor; one that does
// not run through a mount of its overlay that nobody else sees. Inside, paths are resolved with
// RESOLVE_IN_ROOT, so that no symlink of the container leads to the host.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "copy/tar.h"
#include "runtime/home.h"
#include "runtime/observe.h"

namespace trivet::runtime {

// Docker's rules: an existing directory as destination receives the source under its name, else the
// source becomes the destination; "DIR/." means what is in DIR; the host's "-" is a tar stream on
// stdout or stdin. What is made belongs to the caller (on the host) or to root (in the container).
Result<> copy_out(const Home& home, const Observed& observed, const std::string& path,
                  const std::string& host_path);
Result<> copy_in(const Home& home, const Observed& observed, const std::string& host_path,
                 const std::string& path);

// The root that `path` is to be resolved in, and what remains of the path: in a container that does
// not run, a path below a volume or bind mount is in that mount's source.
struct Entrance {
  UniqueFd root;
  std::string path;
};
Result<Entrance> open_entrance(const Home& home, const Observed& observed, const std::string& path);

// A tar stream of any form that libarchive knows, unpacked below a directory: names that are
// absolute or climb with ".." are kInvalidArgument.
Result<> read_tar(int input, int directory);
// The same stream in the form of copy/tar.h, for whoever unpacks it elsewhere.
Result<> forward_tar(int input, const copy::Sink& sink);

}  // namespace trivet::runtime
