// What trivet-vmm reads from QEMU, from the guest and from clients: QMP, and frames that a session
// table routes. The first byte says which; for the table each frame is preceded by a byte that says
// who sends it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "guest/protocol.h"
#include "vmm/qmp_message.h"
#include "vmm/session_table.h"
#include "vmm/words.h"

namespace {

namespace guest = trivet::guest;

void fuzz_qmp(std::string_view text) {
  const auto message = trivet::vmm::parse_qmp(text);
  if (!message && message.error().code() != trivet::ErrorCode::kCorrupt) std::abort();
}

void fuzz_words(std::string_view text) {
  trivet::vmm::Tail tail;
  tail.add(text);
  if (tail.last_line().find('\n') != std::string::npos) std::abort();
  if (tail.find_panic().find('\n') != std::string::npos) std::abort();
}

// The next frame out of the text: a type, a session, and a length.
guest::Frame take_frame(std::string_view& text) {
  const auto byte = [&]() -> uint8_t {
    if (text.empty()) return 0;
    const auto value = static_cast<uint8_t>(text.front());
    text.remove_prefix(1);
    return value;
  };
  guest::Frame frame{.type = static_cast<guest::FrameType>(byte()), .session = byte()};
  const size_t size = std::min<size_t>(byte(), text.size());
  frame.payload = text.substr(0, size);
  text.remove_prefix(size);
  return frame;
}

void fuzz_table(std::string_view text) {
  trivet::vmm::SessionTable table;
  while (!text.empty()) {
    const auto who = static_cast<uint8_t>(text.front());
    text.remove_prefix(1);
    if (who < 4) {
      (void)table.drop_client(who);
      continue;
    }
    const guest::Frame frame = take_frame(text);
    if (who >= 128) {
      const auto target = table.from_guest(frame);
      if (!target) return;  // the machine is ended
      if (frame.session < guest::kFirstRequestSession) std::abort();
    } else {
      const auto session = table.from_client(who % 4U, frame);
      if (session && *session && **session < guest::kFirstRequestSession) std::abort();
    }
    if (table.size() + 2 > guest::kMaxSessions) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      fuzz_qmp(text);
      break;
    case 1:
      fuzz_words(text);
      break;
    default:
      fuzz_table(text);
  }
  return 0;
}
