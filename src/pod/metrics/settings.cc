#include "pod/metrics/settings.h"

#include <charconv>

namespace trivet::metrics {

namespace {

extension::Outcome<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), port);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return std::unexpected("settings: \"" + std::string(text) +
                           "\" is no port: it is PORT or "
                           "HOSTPORT:PORT");
  }
  return port;
}

}  // namespace

extension::Outcome<Ports> parse_settings(std::string_view text) {
  Ports ports;
  if (text.empty()) return ports;
  const size_t colon = text.find(':');
  const auto host = parse_port(text.substr(0, colon));
  if (!host) return std::unexpected(host.error());
  const auto pod = colon == text.npos ? host : parse_port(text.substr(colon + 1));
  if (!pod) return std::unexpected(pod.error());
  if (*pod == 0) return std::unexpected(std::string("settings: the pod's port is not 0"));
  return Ports{.host = *host, .pod = *pod};
}

}  // namespace trivet::metrics
