#include "guest/vminit/handshakes.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "guest/handshake.h"
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

namespace trivet::guest {

namespace {

// Without options, as IP headers of the kernel's TCP are.
constexpr uint8_t kPlainHeader = 0x45;
constexpr unsigned kFlagsAt = sizeof(iphdr) + 13;
constexpr unsigned kFlags = TH_SYN | TH_ACK | TH_RST | TH_FIN;
constexpr unsigned kTaken = sizeof(iphdr) + sizeof(tcphdr);

constexpr sock_filter load_byte(unsigned offset) {
  return BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offset);
}

// Goes on when equal; what follows is so many instructions in front of the last, which refuses.
constexpr sock_filter expect(unsigned value, uint8_t following) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, following);
}

// What the kernel copies nothing of is not worth waking up for: all but SYN,ACK segments on their
// way out.
Result<> take_only_syn_acks(int fd) {
  auto filter = std::to_array<sock_filter>({
      load_byte(static_cast<unsigned>(SKF_AD_OFF + SKF_AD_PKTTYPE)),
      expect(PACKET_OUTGOING, 8),
      load_byte(0),
      expect(kPlainHeader, 6),
      load_byte(offsetof(iphdr, protocol)),
      expect(IPPROTO_TCP, 4),
      load_byte(kFlagsAt),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kFlags),
      expect(TH_SYN | TH_ACK, 1),
      BPF_STMT(BPF_RET | BPF_K, kTaken),
      BPF_STMT(BPF_RET | BPF_K, 0),
  });
  const sock_fprog program{.len = filter.size(), .filter = filter.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return fail_errno("setsockopt SO_ATTACH_FILTER");
  }
  return {};
}

}  // namespace

Result<Handshakes> Handshakes::open(const std::string& device) {
  // Nothing is received before bind().
  UniqueFd seen(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!seen) return fail_errno("socket AF_PACKET");
  TRY(take_only_syn_acks(seen.get()));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);  // of other protocols only what comes in is seen
  address.sll_ifindex = static_cast<int>(::if_nametoindex(device.c_str()));
  if (::bind(seen.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("bind to \"{}\"", device);
  }
  UniqueFd answers(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  if (!answers) return fail_errno("socket SOCK_RAW");
  return Handshakes(std::move(seen), std::move(answers));
}

// What is lost here comes again: the kernel repeats a SYN,ACK that is not acknowledged.
void Handshakes::complete() {
  std::array<char, kTaken> packet{};
  for (;;) {
    const ssize_t length = ::recv(seen_.get(), packet.data(), packet.size(), 0);
    if (length < 0) return;
    const std::string answer = acknowledge_syn({packet.data(), static_cast<size_t>(length)});
    if (answer.empty()) continue;
    sockaddr_in own{};
    own.sin_family = AF_INET;
    std::memcpy(&own.sin_addr, answer.data() + offsetof(iphdr, daddr), sizeof own.sin_addr);
    (void)::sendto(answers_.get(), answer.data(), answer.size(), 0,
                   reinterpret_cast<const sockaddr*>(&own), sizeof own);
  }
}

}  // namespace trivet::guest
