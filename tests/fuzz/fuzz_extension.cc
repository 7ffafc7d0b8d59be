// What extensions say to the infra container and it to the supervisor, what clients and servers say
// to the name server, what clients ask of the metrics endpoint. The first byte says which.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "pod/dns/message.h"
#include "pod/dns/resolv_conf.h"
#include "pod/extension_message.h"
#include "pod/line_buffer.h"
#include "pod/metrics/endpoint.h"
#include "pod/metrics/settings.h"

namespace {

namespace dns = trivet::dns;
namespace pod = trivet::pod;

// What is accepted is printed and accepted again, as the same.
template <typename T>
void fuzz_line(std::string_view line, trivet::Result<T> (*parse)(std::string_view),
               std::string (*print)(const T&)) {
  const auto parsed = parse(line);
  if (!parsed) {
    if (parsed.error().code() != trivet::ErrorCode::kCorrupt) std::abort();
    return;
  }
  const std::string printed = print(*parsed);
  const auto again = parse(printed);
  if (!again || print(*again) != printed) std::abort();
}

void fuzz_lines(std::string_view text) {
  constexpr size_t kLimit = 64;
  pod::LineBuffer buffer(kLimit);
  while (!text.empty()) {
    const size_t piece = static_cast<uint8_t>(text.front()) % 32U + 1U;
    if (!buffer.feed(text.substr(0, piece))) return;
    text.remove_prefix(std::min(piece, text.size()));
    for (;;) {
      const auto line = buffer.next();
      if (!line) return;
      if (!*line) break;
      if ((*line)->size() > kLimit || (*line)->find('\n') != std::string::npos) std::abort();
    }
  }
}

void fuzz_dns(std::string_view message) {
  const auto query = dns::parse_query(message);
  if (!query) {
    const auto refusal = dns::answer_refused(message, dns::Code::kFormatError);
    if (refusal && refusal->size() != 12) std::abort();
    return;
  }
  const std::string answer = dns::print_answer(*query, 1);
  if (!dns::is_answer(answer, query->id, query->question)) std::abort();
  if (dns::is_answer(message, query->id, query->question)) std::abort();
}

void fuzz_metrics(std::string_view head) {
  namespace metrics = trivet::metrics;
  const std::string answer =
      metrics::answer_request(head, [] { return std::optional<std::string>("# EOF\n"); });
  if (!answer.starts_with("HTTP/1.1 ") || answer.find("\r\n\r\n") == answer.npos) std::abort();
  const auto ports = metrics::parse_settings(head);
  if (ports && ports->pod == 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 0:
      fuzz_line(text, pod::parse_order, pod::print_order);
      break;
    case 1:
      fuzz_line(text, pod::parse_request, pod::print_request);
      break;
    case 2:
      fuzz_line(text, pod::parse_infra_order, pod::print_infra_order);
      break;
    case 3:
      fuzz_line(text, pod::parse_infra_report, pod::print_infra_report);
      break;
    case 4:
      fuzz_lines(text);
      break;
    case 5:
      fuzz_dns(text);
      break;
    case 6:
      (void)dns::find_upstreams(text);
      (void)dns::parse_upstreams(text);
      break;
    default:
      fuzz_metrics(text);
  }
  return 0;
}
