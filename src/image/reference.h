// Image references with Docker's naming: "busybox" is docker.io/library/busybox:latest.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::image {

struct Reference {
  std::string registry;    // "docker.io", "localhost:5000"
  std::string repository;  // "library/busybox"
  std::string tag;         // may be empty when there is a digest
  std::string digest;      // "sha256:…", may be empty

  // "docker.io/library/busybox:latest", with @digest when there is one.
  [[nodiscard]] std::string canonical() const;
  // As people write it: "busybox:latest".
  [[nodiscard]] std::string familiar() const;
  // What goes into /v2/NAME/manifests/<this>: the digest, else the tag.
  [[nodiscard]] const std::string& version() const { return digest.empty() ? tag : digest; }

  friend bool operator==(const Reference&, const Reference&) = default;
};

// At most 512 bytes; the grammar of distribution-spec. kInvalidArgument with a hint otherwise.
// Neither tag nor digest: "latest".
Result<Reference> parse_reference(std::string_view text);

}  // namespace trivet::image
