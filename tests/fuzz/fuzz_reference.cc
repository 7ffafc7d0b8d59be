// Image references: whatever is accepted prints and parses to itself.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "image/reference.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto reference = trivet::image::parse_reference(text);
  if (!reference) return 0;
  const auto canonical = trivet::image::parse_reference(reference->canonical());
  // The canonical form may be a little longer than what may be typed.
  if (!canonical && reference->canonical().size() <= 512) abort();
  if (canonical && *canonical != *reference) abort();
  if (reference->repository.find("..") != std::string::npos) abort();
  return 0;
}
