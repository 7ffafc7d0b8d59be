// A copy whose two sides are not in the same place: one writes a tar stream, the other makes it
// into files by the rules of `cp`.
#pragma once

#include <string>

#include "base/result.h"
#include "copy/place.h"
#include "copy/tar.h"
#include "copy/unpack.h"

namespace trivet::copy {

// The stream of what `from` names. Its entries are below one name, which the other side does not
// use.
Result<> send_copy(const Side& from, const Sink& sink);

// Makes the stream of send_copy() into what `to` names. `source_path` is what the other side was
// given as its path, as typed: it decides on the name.
Result<> receive_copy(const Source& source, const std::string& source_path, const Side& to,
                      const UnpackOptions& options);

// Unpacks a stream below the directory `to`, every entry with the path it has in there.
Result<> receive_tar(const Source& source, const Side& to, const UnpackOptions& options);

}  // namespace trivet::copy
