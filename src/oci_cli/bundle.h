// What create, run and restore have in common: the bundle and the options about it.
#pragma once

#include <optional>
#include <string>

#include "container/container.h"
#include "oci/spec.h"
#include "oci_cli/commands.h"
#include "payload/prepare.h"

namespace trivet::oci_cli {

struct Bundle {
  std::string directory;
  std::string config_json;
  oci::Spec spec;
  std::optional<payload::Prepared> payload;  // nothing: native

  // What the engine gets.
  [[nodiscard]] const oci::Spec& shell() const { return payload ? payload->spec : spec; }
};

// The configuration of --bundle, or of the current directory.
Result<Bundle> read_bundle(const Arguments& arguments);

// Which payload the bundle is for, and what that makes of it.
Result<> choose_payload(const Globals& globals, const Arguments& arguments, Bundle& bundle);

// `globals` and `bundle` outlive them.
Result<container::CreateOptions> create_options(const Globals& globals, const Arguments& arguments,
                                                const Bundle& bundle);

}  // namespace trivet::oci_cli
