// Manifests, indexes and configs from a registry. What parses must print to something that parses
// again and prints the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "oci/image_spec.h"

namespace {

template <typename T>
void check(std::string_view text, trivet::Result<T> (*parse)(std::string_view),
           std::string (*print)(const T&)) {
  const auto value = parse(text);
  if (!value) return;
  const std::string printed = print(*value);
  // Escapes may grow: a document near the limit may pass it when it is printed.
  if (printed.size() > trivet::oci::kMaxImageDocumentBytes) return;
  const auto again = parse(printed);
  if (!again || print(*again) != printed) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text, trivet::oci::parse_index, trivet::oci::print_index);
  check(text, trivet::oci::parse_manifest, trivet::oci::print_manifest);
  check(text, trivet::oci::parse_image_config, trivet::oci::print_image_config);
  return 0;
}
