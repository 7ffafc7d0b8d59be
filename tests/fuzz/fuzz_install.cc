// Configurations of other programs: what is put into one can be taken out again, and neither
// crashes.
#include <cstdint>
#include <cstdlib>

#include "install/caller.h"
#include "install/diff.h"
#include "install/record.h"

using namespace trivet;
using namespace trivet::install;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Registration registration{.handlers = {{"trivet", "/usr/bin/trivet-oci"}},
                                  .as_default = (data[0] & 1) != 0};
  const File file{"f", text};
  if (const auto added = add_docker(file, registration)) {
    // A default that was there comes back in its own words; so does everything else.
    if (!remove_docker({"f", *added}, registration, text)) std::abort();
    (void)unified_diff({"a", text}, {"b", *added});
  }
  if (const auto added = add_containerd(file, registration)) {
    if (!remove_containerd({"f", *added}, registration, text)) std::abort();
  }
  if (const auto added = add_podman(file, registration, {})) {
    if (!remove_drop_in({"f", *added})) std::abort();
  }
  (void)remove_drop_in(file);
  (void)parse_record(text, "r");
  return 0;
}
