// What criu answers; it is executed with our privileges, but a message that can't be read has to be
// an error like any other.
#include <cstddef>
#include <cstdint>

#include "container/criu_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  (void)trivet::criu::parse_answer({reinterpret_cast<const char*>(data), size});
  return 0;
}
