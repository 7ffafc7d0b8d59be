// Inside of module oci: what the files that print a Spec share.
#pragma once

#include "oci/json_writer.h"
#include "oci/spec.h"

namespace trivet::oci {

void write_linux(JsonWriter& writer, const Linux& config);
void write_id_mapping(JsonWriter& writer, const IdMapping& mapping);

}  // namespace trivet::oci
