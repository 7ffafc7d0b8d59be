// config.json, and the objects that exec and update take, from anywhere. What parses must print to
// something that parses again and prints the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "oci/spec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto spec = trivet::oci::parse_spec(text)) {
    const std::string printed = trivet::oci::print_spec(*spec);
    const auto again = trivet::oci::parse_spec(printed);
    if (!again || trivet::oci::print_spec(*again) != printed) std::abort();
  }
  if (const auto process = trivet::oci::parse_process(text)) {
    const std::string printed = trivet::oci::print_process(*process);
    const auto again = trivet::oci::parse_process(printed);
    if (!again || trivet::oci::print_process(*again) != printed) std::abort();
  }
  (void)trivet::oci::parse_resources(text);
  return 0;
}
