// Which isolation a container gets. A name that nobody knows is an error with the known ones, so a
// typo never changes it silently.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::payload {

enum class Isolation { kNative, kMicrovm, kWasm };
[[nodiscard]] std::string_view isolation_name(Isolation isolation);

// That of a container which the state of this engine says it has.
[[nodiscard]] Isolation isolation_of(const std::map<std::string, std::string>& annotations);

// What --isolation takes: "auto" and the names.
[[nodiscard]] std::vector<std::string> isolation_choices();

// The annotation that asks for one, and that says in a container's state which it has.
inline constexpr const char* kIsolationAnnotation = "dev.trivet.isolation";

struct Choice {
  Isolation isolation = Isolation::kNative;
  // Whether a program that is WebAssembly makes the container a Wasm one, and any other program a
  // native one.
  bool by_program = true;
};

struct ChoiceInputs {
  std::string requested;  // --isolation; empty: not given
  const std::map<std::string, std::string>& annotations;
  std::string program_name;  // "trivet-oci", or what it is installed as: "krun", "crun-wasm"
};

// First match wins: what was requested; the annotations dev.trivet.isolation, run.oci.handler
// (crun's: wasm, wasm-smart, krun) and module.wasm.image/variant; the program's name. The pause
// container of a Kubernetes pod is native whatever the pod asks for.
// kInvalidArgument: an unknown name.
Result<Choice> choose(const ChoiceInputs& inputs);

}  // namespace trivet::payload
