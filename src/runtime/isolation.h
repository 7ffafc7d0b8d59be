// Which isolation a container of `trivet run` gets, and what that changes in its options.
#pragma once

#include "base/result.h"
#include "payload/choose.h"
#include "runtime/plan.h"

namespace trivet::runtime {

// As payload::choose(); where nobody asks, the image's platform and media types decide, then the
// first bytes of the program. `pod` may be null; what can't be in it is kUnsupported.
Result<payload::Isolation> choose_isolation(const RunOptions& options, const RootFacts& root,
                                            const Plan& plan, const PodShell* pod);

// Whether that will say Wasm, known without a plan: the image is made for it and nobody says
// anything else. False: it may be Wasm all the same.
[[nodiscard]] bool is_surely_wasm(const RunOptions& options, const RootFacts& root);

// The options as a Wasm container has them: trivet-wasm is an init itself, and fuel is counted
// unless that is switched off.
[[nodiscard]] RunOptions wasm_options(RunOptions options);

// The options as a microVM has them: what is particular becomes annotations.
[[nodiscard]] RunOptions microvm_options(RunOptions options);

}  // namespace trivet::runtime
