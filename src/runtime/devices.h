// The CDI devices among the options of a container.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"
#include "trivet/types.h"

namespace trivet::runtime {

// Where CDI files are looked for: TRIVET_CDI_SPEC_DIRS (with ":" between them), else /etc/cdi and
// /var/run/cdi. The later ones take precedence.
[[nodiscard]] std::vector<std::string> cdi_directories();

// Makes the edits of the devices that are named VENDOR/CLASS=NAME to `spec`, which is otherwise
// finished. A GpuConfigError (trivet/gpu.h), kInvalidArgument for what is no name; kUnsupported for
// a microVM.
Result<> add_cdi_devices(const RunOptions& options, oci::Spec& spec);

}  // namespace trivet::runtime
