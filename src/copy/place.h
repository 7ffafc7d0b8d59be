// The two sides of a copy: a path as typed, in a root that it can't leave.
#pragma once

#include <string>
#include <sys/stat.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "copy/tree.h"

namespace trivet::copy {

// What a path as typed says.
struct CopyPath {
  std::string parent;              // directory that holds the entry; "." or "/" at least
  std::string name;                // of the entry; empty for "/" itself
  bool contents = false;           // it ended in "/.": what is in the directory
  bool must_be_directory = false;  // it ended in "/"
};
[[nodiscard]] CopyPath parse_copy_path(const std::string& path);

// One side: a directory tree in which paths are resolved, and a path in it.
struct Side {
  UniqueFd root;      // invalid: the host, with its own rules for paths
  std::string path;   // as typed
  std::string label;  // for errors: "web:/etc"

  [[nodiscard]] Result<UniqueFd> open(const std::string& inner, int flags) const;
};

// An entry that exists: a name in a directory that is open. The name is "." for "/", and for a path
// with a slash or "/." at its end.
struct Found {
  UniqueFd parent;
  std::string name;
  struct stat status{};
};
Result<Found> find_source(const Side& side);

// Where a source goes by Docker's rules: an existing directory as destination receives it under its
// name, else it becomes the destination; "DIR/." means what is in DIR. `name` is empty when what is
// in the source goes into `directory`, whose own mode and owner stay.
struct Destination {
  UniqueFd directory;
  std::string name;
};
Result<Destination> find_destination(const CopyPath& source, bool source_is_directory,
                                     const Side& to);

// Both sides are here.
Result<> copy_between(const Side& from, const Side& to, const CopyOptions& options);

}  // namespace trivet::copy
