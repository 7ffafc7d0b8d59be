#include "guest/vminit/handshakes.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "guest/handshake.h"
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>

namespace trivet::guest {

namespace {

// Without options, as IP headers of the kernel's TCP are.
constexpr uint8_t kPlainHeader = 0x45;
constexpr unsigned kFlagsAt = sizeof(iphdr) + 13;
constexpr unsigned kFlags = TH_SYN | TH_ACK | TH_RST | TH_FIN;
constexpr unsigned kTaken = sizeof(iphdr) + sizeof(tcphdr);

// Questions are asked for addresses of the network 0, which nobody has.
constexpr uint32_t kQuestionMask = 0x00FFFFFF;
// A SYN,ACK that is not acknowledged is repeated, and with it the question.
constexpr size_t kMaxWaiting = 1024;

constexpr sock_filter load_byte(unsigned offset) {
  return BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offset);
}

// Goes on when equal; what follows is so many instructions in front of the last, which refuses.
constexpr sock_filter expect(unsigned value, uint8_t following) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, following);
}

// What the kernel copies nothing of is not worth waking up for: all but segments with these of
// kFlags, on their way in or out.
Result<> take_only(int fd, unsigned way, unsigned flags) {
  auto filter = std::to_array<sock_filter>({
      load_byte(static_cast<unsigned>(SKF_AD_OFF + SKF_AD_PKTTYPE)),
      expect(way, 8),
      load_byte(0),
      expect(kPlainHeader, 6),
      load_byte(offsetof(iphdr, protocol)),
      expect(IPPROTO_TCP, 4),
      load_byte(kFlagsAt),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, kFlags),
      expect(flags, 1),
      BPF_STMT(BPF_RET | BPF_K, kTaken),
      BPF_STMT(BPF_RET | BPF_K, 0),
  });
  const sock_fprog program{.len = filter.size(), .filter = filter.data()};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return fail_errno("setsockopt SO_ATTACH_FILTER");
  }
  return {};
}

// Nothing is received before bind_packets().
Result<UniqueFd> open_packets() {
  UniqueFd fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket AF_PACKET");
  return fd;
}

Result<> bind_packets(const UniqueFd& fd, int device, uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = device;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("bind to a network device");
  }
  return {};
}

Result<UniqueFd> open_segments(int device, uint16_t protocol, unsigned way, unsigned flags) {
  UniqueFd fd = TRY(open_packets());
  TRY(take_only(fd.get(), way, flags));
  TRY(bind_packets(fd, device, protocol));
  return fd;
}

Result<std::string> read_mac(int packets) {
  sockaddr_ll address{};
  socklen_t size = sizeof address;
  if (::getsockname(packets, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail_errno("getsockname");
  }
  return std::string(reinterpret_cast<const char*>(address.sll_addr), ETH_ALEN);
}

ether_arp arp_request(const std::string& mac, uint32_t question) {
  ether_arp request{};
  request.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
  request.ea_hdr.ar_pro = htons(ETH_P_IP);
  request.ea_hdr.ar_hln = ETH_ALEN;
  request.ea_hdr.ar_pln = sizeof question;
  request.ea_hdr.ar_op = htons(ARPOP_REQUEST);
  std::memcpy(request.arp_sha, mac.data(), ETH_ALEN);
  const uint32_t wanted = htonl(question);
  std::memcpy(request.arp_tpa, &wanted, sizeof wanted);
  return request;
}

}  // namespace

Handshakes::~Handshakes() {
  for (const UniqueFd* fd : {&syn_acks_, &resets_, &arp_}) {
    if (*fd) loop_.forget(fd->get());
  }
}

Result<> Handshakes::open(const std::string& device) {
  device_ = static_cast<int>(::if_nametoindex(device.c_str()));
  // Of packets that go out, only who asks for all protocols sees any.
  syn_acks_ = TRY(open_segments(device_, ETH_P_ALL, PACKET_OUTGOING, TH_SYN | TH_ACK));
  resets_ = TRY(open_segments(device_, ETH_P_IP, PACKET_HOST, TH_RST));
  arp_ = TRY(open_packets());
  TRY(bind_packets(arp_, device_, ETH_P_ARP));
  mac_ = TRY(read_mac(arp_.get()));
  answers_.reset(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  if (!answers_) return fail_errno("socket SOCK_RAW");
  TRY(loop_.watch(syn_acks_.get(), EPOLLIN, [this](uint32_t) { see_syn_acks(); }));
  TRY(loop_.watch(resets_.get(), EPOLLIN, [this](uint32_t) { see_resets(); }));
  return loop_.watch(arp_.get(), EPOLLIN, [this](uint32_t) { hear_replies(); });
}

void Handshakes::see_syn_acks() {
  std::array<char, kTaken> packet{};
  for (;;) {
    const ssize_t length = ::recv(syn_acks_.get(), packet.data(), packet.size(), 0);
    if (length < 0) return;
    std::string answer = acknowledge_syn({packet.data(), static_cast<size_t>(length)});
    if (!answer.empty()) ask(std::move(answer));
  }
}

void Handshakes::ask(std::string acknowledgement) {
  questions_ = (questions_ + 1) & kQuestionMask;
  if (waiting_.size() >= kMaxWaiting) waiting_.erase(waiting_.begin());
  waiting_[questions_] = std::move(acknowledgement);
  const ether_arp request = arp_request(mac_, questions_);
  sockaddr_ll everybody{};
  everybody.sll_family = AF_PACKET;
  everybody.sll_protocol = htons(ETH_P_ARP);
  everybody.sll_ifindex = device_;
  everybody.sll_halen = ETH_ALEN;
  std::memset(everybody.sll_addr, 0xFF, ETH_ALEN);
  (void)::sendto(arp_.get(), &request, sizeof request, 0,
                 reinterpret_cast<const sockaddr*>(&everybody), sizeof everybody);
}

void Handshakes::hear_replies() {
  ether_arp reply{};
  for (;;) {
    const ssize_t length = ::recv(arp_.get(), &reply, sizeof reply, 0);
    if (length < 0) return;
    if (static_cast<size_t>(length) < sizeof reply) continue;
    uint32_t question = 0;
    std::memcpy(&question, reply.arp_spa, sizeof question);
    const auto found = waiting_.find(ntohl(question));
    if (reply.ea_hdr.ar_op != htons(ARPOP_REPLY) || found == waiting_.end()) continue;
    take_in(found->second);
    waiting_.erase(found);
  }
}

void Handshakes::see_resets() {
  std::array<char, kTaken> packet{};
  for (;;) {
    const ssize_t length = ::recv(resets_.get(), packet.data(), packet.size(), 0);
    if (length < 0) return;
    const std::string reset = complete_reset({packet.data(), static_cast<size_t>(length)});
    if (!reset.empty()) take_in(reset);
  }
}

void Handshakes::take_in(const std::string& packet) const {
  sockaddr_in own{};
  own.sin_family = AF_INET;
  std::memcpy(&own.sin_addr, packet.data() + offsetof(iphdr, daddr), sizeof own.sin_addr);
  (void)::sendto(answers_.get(), packet.data(), packet.size(), 0,
                 reinterpret_cast<const sockaddr*>(&own), sizeof own);
}

}  // namespace trivet::guest
