// What a microVM's agent and its host say to each other, in both directions, and the tar streams of
// copies. What parses must print to something that parses to the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "copy/tar.h"
#include "guest/messages.h"
#include "guest/pod_loopback.h"
#include "guest/protocol.h"

namespace {

namespace guest = trivet::guest;

template <typename Parse>
void check_document(std::string_view text, Parse parse) {
  const auto document = parse(text);
  if (!document) return;
  const std::string printed = guest::print(*document);
  const auto again = parse(printed);
  if (!again || guest::print(*again) != printed) std::abort();
}

void check_documents(std::string_view text) {
  check_document(text, guest::parse_ready);
  check_document(text, guest::parse_wake);
  check_document(text, guest::parse_create);
  check_document(text, guest::parse_exec);
  check_document(text, guest::parse_copy);
  check_document(text, guest::parse_connect);
  check_document(text, guest::parse_request);
  check_document(text, guest::parse_stats);
  for (const char c : guest::parse_error(text).message()) {
    if (static_cast<unsigned char>(c) < ' ') std::abort();
  }
}

void check_frame(const guest::Frame& frame) {
  (void)guest::read_number(frame.payload);
  (void)guest::read_credit(frame.payload);
  (void)guest::read_resize(frame.payload);
  (void)guest::read_exit(frame.payload);
  check_documents(frame.payload);
}

void check_frames(std::string_view bytes, guest::Direction direction, size_t piece) {
  guest::FrameReader reader(direction);
  while (!bytes.empty()) {
    const size_t count = std::min(piece, bytes.size());
    std::memcpy(reader.space(count), bytes.data(), count);
    reader.added(count);
    bytes.remove_prefix(count);
    for (;;) {
      const auto frame = reader.next();
      if (!frame) return;
      if (!*frame) break;
      check_frame(**frame);
    }
  }
}

void check_tar(std::string_view bytes) {
  trivet::copy::TarReader reader([&bytes](char* buffer, size_t size) -> trivet::Result<size_t> {
    const size_t count = std::min(size, bytes.size());
    std::memcpy(buffer, bytes.data(), count);
    bytes.remove_prefix(count);
    return count;
  });
  for (;;) {
    const auto entry = reader.next();
    if (!entry || !*entry) return;
    const std::string& path = (*entry)->path;
    if (path.empty() || path.front() == '/' || ("/" + path + "/").contains("/../")) std::abort();
    if (!reader.read()) return;
  }
}

void check_loopback(std::string_view text) {
  const auto loopback = guest::parse_pod_loopback(text);
  if (!loopback) return;
  const auto again = guest::parse_pod_loopback(guest::print_pod_loopback(*loopback));
  if (!again || *again != *loopback) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_documents(text);
  for (const size_t piece : {size_t{7}, size_t{1} << 20U}) {
    check_frames(text, guest::Direction::kToGuest, piece);
    check_frames(text, guest::Direction::kToHost, piece);
  }
  check_tar(text);
  check_loopback(text);
  return 0;
}
