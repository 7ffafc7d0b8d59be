#include "guest/handshake.h"

#include <arpa/inet.h>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

namespace trivet::guest {

namespace {

constexpr unsigned kVersion = 4;
constexpr unsigned kIpWords = sizeof(iphdr) / 4;
constexpr unsigned kTcpWords = sizeof(tcphdr) / 4;
// Whatever the scale is that the peer has asked for, it is not much: its own segments say more.
constexpr uint16_t kWindow = 128;

struct Segment {
  iphdr ip{};
  tcphdr tcp{};
};
static_assert(sizeof(Segment) == sizeof(iphdr) + sizeof(tcphdr));

// RFC 9293, 3.1: over a pseudo header of addresses, protocol and length, and the segment.
struct Summed {
  uint32_t source;
  uint32_t destination;
  uint16_t protocol;
  uint16_t length;
  tcphdr tcp;
};

uint16_t tcp_checksum(const Segment& segment) {
  const Summed summed{.source = segment.ip.saddr,
                      .destination = segment.ip.daddr,
                      .protocol = htons(IPPROTO_TCP),
                      .length = htons(sizeof segment.tcp),
                      .tcp = segment.tcp};
  uint32_t sum = 0;
  for (size_t at = 0; at < sizeof summed; at += sizeof(uint16_t)) {
    uint16_t word = 0;
    std::memcpy(&word, reinterpret_cast<const char*>(&summed) + at, sizeof word);
    sum += word;
  }
  while (sum > UINT16_MAX) sum = (sum & UINT16_MAX) + (sum >> 16U);
  return static_cast<uint16_t>(~sum);
}

bool is_syn_ack(const Segment& segment) {
  return segment.ip.version == kVersion && segment.ip.ihl == kIpWords &&
         segment.ip.protocol == IPPROTO_TCP && segment.tcp.syn == 1 && segment.tcp.ack == 1 &&
         segment.tcp.rst == 0 && segment.tcp.fin == 0;
}

}  // namespace

std::string acknowledge_syn(std::string_view packet) {
  Segment sent;
  if (packet.size() < sizeof sent) return {};
  std::memcpy(&sent, packet.data(), sizeof sent);
  if (!is_syn_ack(sent)) return {};
  Segment answer;
  answer.ip.version = kVersion;
  answer.ip.ihl = kIpWords;
  answer.ip.ttl = IPDEFTTL;
  answer.ip.protocol = IPPROTO_TCP;
  answer.ip.tot_len = htons(sizeof answer);
  answer.ip.saddr = sent.ip.daddr;
  answer.ip.daddr = sent.ip.saddr;
  answer.tcp.source = sent.tcp.dest;
  answer.tcp.dest = sent.tcp.source;
  answer.tcp.seq = sent.tcp.ack_seq;
  answer.tcp.ack_seq = htonl(ntohl(sent.tcp.seq) + 1);
  answer.tcp.doff = kTcpWords;
  answer.tcp.ack = 1;
  answer.tcp.window = htons(kWindow);
  answer.tcp.check = tcp_checksum(answer);
  return {reinterpret_cast<const char*>(&answer), sizeof answer};
}

}  // namespace trivet::guest
