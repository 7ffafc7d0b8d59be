// What servers answer to a pod's probes: HTTP, and gRPC over HTTP/2. The first byte says which, the
// second how large the pieces are that it comes in.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "pod/grpc_health.h"
#include "pod/http_answer.h"

namespace {

using trivet::ErrorCode;

template <typename Reader>
void feed_in_pieces(Reader& reader, std::string_view text, size_t piece, auto&& after_each) {
  while (!text.empty()) {
    const std::string_view now = text.substr(0, piece);
    text.remove_prefix(now.size());
    if (!reader.feed(now)) return;
    if (!after_each()) return;
  }
}

void fuzz_http(std::string_view text, size_t piece) {
  trivet::pod::HttpAnswer answer;
  feed_in_pieces(answer, text, piece, [&] {
    const int status = answer.status();
    if (status != 0 && status != 101 && (status < 200 || status > 599)) std::abort();
    return !answer.complete();
  });
}

void fuzz_grpc(std::string_view text, size_t piece) {
  const auto check = trivet::pod::GrpcHealthCheck::create("127.0.0.1:1", "service");
  if (!check || !(*check)->take_output()) std::abort();
  feed_in_pieces(**check, text, piece,
                 [&] { return !(*check)->outcome() && (*check)->take_output().has_value(); });
}

void fuzz_message(std::string_view text) {
  const auto status = trivet::pod::parse_health_response(text);
  if (!status && status.error().code() != ErrorCode::kCorrupt) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t piece = size_t{data[1]} + 1;
  switch (data[0] % 3) {
    case 0:
      fuzz_http(text, piece);
      break;
    case 1:
      fuzz_grpc(text, piece);
      break;
    default:
      fuzz_message(text);
  }
  return 0;
}
