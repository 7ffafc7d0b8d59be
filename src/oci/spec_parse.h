// Inside of module oci: the parsers of the parts of config.json, one file a part.
#pragma once

#include "base/result.h"
#include "oci/field.h"
#include "oci/spec.h"

namespace trivet::oci {

Result<Process> read_process(const Field& field);
Result<Linux> read_linux(const Field& field);
Result<Resources> read_resources(const Field& field);
Result<Seccomp> read_seccomp(const Field& field);
Result<Vm> read_vm(const Field& field);
Result<IdMapping> read_id_mapping(const Field& field);
// A list of "NAME=VALUE".
Result<> read_env(const Field& field, std::string_view key, std::vector<std::string>& out);

// What the parts of a spec demand from each other, such as a hostname from a UTS namespace.
Result<> validate_spec(const Spec& spec);

}  // namespace trivet::oci
