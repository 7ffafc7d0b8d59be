#include "guest/handshake.h"

#include <arpa/inet.h>
#include <cstdint>
#include <cstring>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <utility>

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

// Without options, as IP headers of the kernel's TCP and of passt's are.
bool is_plain_tcp(const Segment& segment) {
  return segment.ip.version == kVersion && segment.ip.ihl == kIpWords &&
         segment.ip.protocol == IPPROTO_TCP;
}

bool is_syn_ack(const Segment& segment) {
  return is_plain_tcp(segment) && segment.tcp.syn == 1 && segment.tcp.ack == 1 &&
         segment.tcp.rst == 0 && segment.tcp.fin == 0;
}

bool is_bare_reset(const Segment& segment) {
  return is_plain_tcp(segment) && segment.tcp.rst == 1 && segment.tcp.ack == 0 &&
         segment.tcp.syn == 0 && segment.tcp.ack_seq != 0;
}

// What all that is made up here has in common.
Segment make_segment(const iphdr& from_to) {
  Segment segment;
  segment.ip.version = kVersion;
  segment.ip.ihl = kIpWords;
  segment.ip.ttl = IPDEFTTL;
  segment.ip.protocol = IPPROTO_TCP;
  segment.ip.tot_len = htons(sizeof segment);
  segment.ip.saddr = from_to.saddr;
  segment.ip.daddr = from_to.daddr;
  segment.tcp.doff = kTcpWords;
  segment.tcp.ack = 1;
  return segment;
}

std::string finish(Segment segment) {
  segment.tcp.check = tcp_checksum(segment);
  return {reinterpret_cast<const char*>(&segment), sizeof segment};
}

}  // namespace

std::string acknowledge_syn(std::string_view packet) {
  Segment sent;
  if (packet.size() < sizeof sent) return {};
  std::memcpy(&sent, packet.data(), sizeof sent);
  if (!is_syn_ack(sent)) return {};
  std::swap(sent.ip.saddr, sent.ip.daddr);
  Segment answer = make_segment(sent.ip);
  answer.tcp.source = sent.tcp.dest;
  answer.tcp.dest = sent.tcp.source;
  answer.tcp.seq = sent.tcp.ack_seq;
  answer.tcp.ack_seq = htonl(ntohl(sent.tcp.seq) + 1);
  answer.tcp.window = htons(kWindow);
  return finish(answer);
}

std::string complete_reset(std::string_view packet) {
  Segment received;
  if (packet.size() < sizeof received) return {};
  std::memcpy(&received, packet.data(), sizeof received);
  if (!is_bare_reset(received)) return {};
  Segment reset = make_segment(received.ip);
  reset.tcp.source = received.tcp.source;
  reset.tcp.dest = received.tcp.dest;
  reset.tcp.seq = received.tcp.seq;
  reset.tcp.ack_seq = received.tcp.ack_seq;
  reset.tcp.rst = 1;
  return finish(reset);
}

}  // namespace trivet::guest
