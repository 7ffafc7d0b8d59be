// What create, run and restore have in common: the bundle and the options about it.
#pragma once

#include <optional>
#include <string>

#include "base/paths.h"
#include "base/text.h"
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
enum class Starter { kCreator, kAnyone };
Result<> choose_payload(const Globals& globals, const Arguments& arguments, Starter starter,
                        Bundle& bundle);

// `globals` and `bundle` outlive them.
Result<container::CreateOptions> create_options(const Globals& globals, const Arguments& arguments,
                                                const Bundle& bundle);

// What a container's init and an exec'd process have in common: sockets, files, descriptors.
template <typename Options>  // container::CreateOptions or container::ExecOptions
Result<> read_process_options(const Arguments& arguments, Options& options) {
  options.console_socket = arguments.get("console-socket");
  options.pid_file = arguments.get("pid-file");
  options.pidfd_socket = arguments.get("pidfd-socket");
  options.preserve_fds =
      static_cast<int>(TRY_IN(parse_int(arguments.get("preserve-fds", "0")), "--preserve-fds"));
  options.seccomp_cache = default_state_dir() + "/seccomp";
  return {};
}

}  // namespace trivet::oci_cli
