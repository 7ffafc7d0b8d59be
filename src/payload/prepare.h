// From a configuration to what the engine runs: which isolation it is, and what that changes in
// the shell.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "container/container.h"
#include "oci/spec.h"
#include "payload/choose.h"

namespace trivet::payload {

struct Request {
  const oci::Spec& spec;
  std::string bundle;  // spec.root.path is relative to it
  const std::optional<container::OverlayRoot>* overlay = nullptr;
  Choice choice;
  std::string wasm_cache;  // directory for compiled modules that belong to no image layer
  int wasm_report = -1;    // see wasm/report.h; stays the caller's
};

// What a container that is not native consists of. It has to outlive Container::create().
struct Prepared {
  Isolation isolation = Isolation::kNative;
  oci::Spec spec;
  container::Program program;
  bool code_was_cached = false;  // Wasm
};

// Nothing for a native container. Errors: kUnsupported for an isolation that this build or host
// does not have; kCommandNotFound, kCommandNotExecutable when the program is no Wasm module though
// it has to be one; otherwise those of the payload.
Result<std::optional<Prepared>> prepare(const Request& request);

// For a process that joins a container whose state says that it is a Wasm one: another module, or
// the exported function `invoke` of one, on the same file systems.
struct PreparedExec {
  oci::Process process;
  container::Program program;
};
Result<std::optional<PreparedExec>> prepare_exec(const container::Container& container,
                                                 const oci::Process& process,
                                                 const std::string& wasm_cache,
                                                 const std::string& invoke);

}  // namespace trivet::payload
