// state.json of a container, and the options of its mounts. What parses as a state must print to
// something that parses again and prints the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "container/mount_options.h"
#include "container/state_store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto record = trivet::container::parse_record(text)) {
    const std::string printed = trivet::container::print_record(*record);
    const auto again = trivet::container::parse_record(printed);
    if (!again || trivet::container::print_record(*again) != printed) std::abort();
  }
  (void)trivet::container::parse_mount_options(trivet::split(text, ','));
  return 0;
}
