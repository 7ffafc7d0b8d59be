#include "guest/pod_loopback.h"

#include <arpa/inet.h>
#include <array>

#include "base/text.h"

namespace trivet::guest {

namespace {

// Each is a comparison of a program for the kernel's BPF.
constexpr size_t kMaxPorts = 256;

std::string print_ipv4(uint32_t address) {
  std::array<char, INET_ADDRSTRLEN> text{};
  const in_addr raw{.s_addr = address};
  (void)::inet_ntop(AF_INET, &raw, text.data(), text.size());
  return text.data();
}

}  // namespace

Result<uint32_t> parse_ipv4(std::string_view text) {
  in_addr raw{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &raw) == 1) return raw.s_addr;
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is no IPv4 address", text);
}

std::string print_pod_loopback(const PodLoopback& loopback) {
  std::string text = fmt::format("{} {}", print_ipv4(loopback.gateway), print_ipv4(loopback.own));
  for (const uint16_t port : loopback.own_ports) text += fmt::format(" {}", port);
  return text;
}

Result<PodLoopback> parse_pod_loopback(std::string_view text) {
  const std::vector<std::string> words = split(text, ' ');
  constexpr size_t kAddresses = 2;
  if (words.size() < kAddresses || words.size() > kAddresses + kMaxPorts) {
    return fail(ErrorCode::kInvalidArgument, "{}: it is two addresses and at most {} ports",
                kPodLoopbackAnnotation, kMaxPorts);
  }
  PodLoopback loopback {
    .gateway = TRY_IN(parse_ipv4(words[0]), "{}", kPodLoopbackAnnotation)
    , .own = TRY_IN(parse_ipv4(words[1]), "{}", kPodLoopbackAnnotation)
  };
  for (size_t i = kAddresses; i < words.size(); ++i) {
    const auto port = parse_int(words[i]);
    if (!port || *port < 1 || *port > UINT16_MAX) {
      return fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is no port", kPodLoopbackAnnotation,
                  words[i]);
    }
    loopback.own_ports.push_back(static_cast<uint16_t>(*port));
  }
  return loopback;
}

}  // namespace trivet::guest
