// What create, run and restore have in common: the bundle and the options about it.
#pragma once

#include <string>

#include "container/container.h"
#include "oci/spec.h"
#include "oci_cli/commands.h"

namespace trivet::oci_cli {

struct Bundle {
  std::string directory;
  std::string config_json;
  oci::Spec spec;
};

// The configuration of --bundle, or of the current directory.
Result<Bundle> read_bundle(const Arguments& arguments);

// `globals` outlives them.
Result<container::CreateOptions> create_options(const Globals& globals, const Arguments& arguments,
                                                const Bundle& bundle);

}  // namespace trivet::oci_cli
