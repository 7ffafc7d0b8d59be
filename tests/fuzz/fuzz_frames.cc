// What clients and monitors say to each other, and the challenges of a registry.
#include <cstddef>
#include <cstdint>

#include "image/auth.h"
#include "monitor/attach.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto message = trivet::monitor::parse_frame(text)) {
    (void)trivet::monitor::read_number(message->payload);
    (void)trivet::monitor::read_window_size(message->payload);
    (void)trivet::monitor::read_stop_request(message->payload);
  }
  (void)trivet::image::parse_challenges(text);
  return 0;
}
