#include "pod/metrics/settings.h"

#include <algorithm>
#include <charconv>
#include <string>

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
  const size_t colon = std::min(text.find(':'), text.size());
  if (colon > 0) {
    const auto host = parse_port(text.substr(0, colon));
    if (!host) return std::unexpected(host.error());
    ports.host = *host;
    ports.pod = *host;
  } else {
    ports.host.reset();
  }
  if (colon < text.size()) {
    const auto pod = parse_port(text.substr(colon + 1));
    if (!pod) return std::unexpected(pod.error());
    ports.pod = *pod;
  }
  if (ports.pod == 0) return std::unexpected(std::string("settings: the pod's port is not 0"));
  return ports;
}

}  // namespace trivet::metrics
