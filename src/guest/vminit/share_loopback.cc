// Made by hand, like the rules of devices: a few dozen instructions need no library. Every program
// lets the call go on, with the address as it is or with another one.
#include "guest/vminit/share_loopback.h"

#include <arpa/inet.h>
#include <array>
#include <cstddef>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <linux/bpf.h>

namespace trivet::guest {

namespace {

// r1 to r5 are arguments of the kernel's functions, and lost with each call.
constexpr uint8_t kResult = BPF_REG_0;
constexpr uint8_t kArgument1 = BPF_REG_1;
constexpr uint8_t kArgument2 = BPF_REG_2;
constexpr uint8_t kArgument3 = BPF_REG_3;
constexpr uint8_t kArgument4 = BPF_REG_4;
constexpr uint8_t kArgument5 = BPF_REG_5;
constexpr uint8_t kContext = BPF_REG_6;
constexpr uint8_t kAddress = BPF_REG_7;  // IPv4, in network order
constexpr uint8_t kPort = BPF_REG_8;     // in network order
constexpr uint8_t kScratch = BPF_REG_9;
constexpr uint8_t kFrame = BPF_REG_10;

// A program in the making, with jumps to places further down by name.
class Program {
 public:
  void add(int code, uint8_t destination, uint8_t source, int offset, int64_t value) {
    bpf_insn insn{};
    insn.code = static_cast<uint8_t>(code);
    insn.dst_reg = destination & 0xFU;
    insn.src_reg = source & 0xFU;
    insn.off = static_cast<int16_t>(offset);
    insn.imm = static_cast<int32_t>(static_cast<uint32_t>(value));
    code_.push_back(insn);
  }
  void move(uint8_t destination, uint8_t source) {
    add(BPF_ALU64 | BPF_MOV | BPF_X, destination, source, 0, 0);
  }
  void set(uint8_t destination, int64_t value) {
    add(BPF_ALU64 | BPF_MOV | BPF_K, destination, 0, 0, value);
  }
  void load(uint8_t destination, size_t field) {
    add(BPF_LDX | BPF_MEM | BPF_W, destination, kContext, static_cast<int>(field), 0);
  }
  void store(size_t field, uint8_t source) {
    add(BPF_STX | BPF_MEM | BPF_W, kContext, source, static_cast<int>(field), 0);
  }
  // The end of the program, or the next place().
  enum class To { kEnd, kPlace };
  void jump(int condition, uint8_t reg, uint32_t value, To to = To::kEnd) {
    (to == To::kEnd ? to_end_ : to_place_).push_back(code_.size());
    add(BPF_JMP32 | condition | BPF_K, reg, 0, 0, value);
  }
  void go(To to) {
    (to == To::kEnd ? to_end_ : to_place_).push_back(code_.size());
    add(BPF_JMP | BPF_JA, 0, 0, 0, 0);
  }
  void call(int function) { add(BPF_JMP | BPF_CALL, 0, 0, 0, function); }
  void place() { land(to_place_); }
  // "Go on", which all of them end with.
  std::vector<bpf_insn> finish() && {
    land(to_end_);
    set(kResult, 1);
    add(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return std::move(code_);
  }

 private:
  void land(std::vector<size_t>& jumps) {
    for (const size_t at : jumps) code_[at].off = static_cast<int16_t>(code_.size() - at - 1);
    jumps.clear();
  }
  std::vector<bpf_insn> code_;
  std::vector<size_t> to_end_;
  std::vector<size_t> to_place_;
};

using To = Program::To;

uint32_t network_order(uint32_t address) {
  return htonl(address);
}

// To the end unless kAddress is one that means the pod as a whole.
void require_shared_address(Program& program, const PodLoopback& loopback) {
  constexpr uint32_t kLoopbackNet = 0x7f000000;
  constexpr uint32_t kNetMask = 0xff000000;
  program.jump(BPF_JEQ, kAddress, loopback.own, To::kPlace);
  program.move(kScratch, kAddress);
  program.add(BPF_ALU | BPF_AND | BPF_K, kScratch, 0, 0, network_order(kNetMask));
  program.jump(BPF_JNE, kScratch, network_order(kLoopbackNet));
  program.place();
}

// To the end when somebody in the guest has the port, of TCP or UDP, at the address that lies in
// the frame: a struct bpf_sock_tuple of `size` bytes that ends with the ports.
void require_nobody(Program& program, size_t size) {
  const auto ask = [&](int function) {
    program.move(kArgument1, kContext);
    program.move(kArgument2, kFrame);
    // With BPF_K, which is 0 as BPF_ADD is.
    program.add(BPF_ALU64 | BPF_ADD, kArgument2, 0, 0, -static_cast<int64_t>(size));
    program.set(kArgument3, static_cast<int64_t>(size));
    program.set(kArgument4, BPF_F_CURRENT_NETNS);
    program.set(kArgument5, 0);
    program.call(function);
  };
  program.load(kScratch, offsetof(bpf_sock_addr, protocol));
  program.jump(BPF_JEQ, kScratch, IPPROTO_TCP, To::kPlace);
  program.jump(BPF_JNE, kScratch, IPPROTO_UDP);
  program.place();
  const std::array<std::pair<uint32_t, int>, 2> kinds{
      {{IPPROTO_TCP, BPF_FUNC_sk_lookup_tcp}, {IPPROTO_UDP, BPF_FUNC_sk_lookup_udp}}};
  for (const auto& [protocol, function] : kinds) {
    program.jump(BPF_JNE, kScratch, protocol, To::kPlace);
    ask(function);
    // 64 bits: it is a pointer.
    program.add(BPF_JMP | BPF_JEQ | BPF_K, kResult, 0, 3, 0);
    program.move(kArgument1, kResult);
    program.call(BPF_FUNC_sk_release);
    program.go(To::kEnd);
    program.place();
  }
}

// The tuple's bytes, from the frame's end: no source, the port at the very end.
void put_zero(Program& program, size_t from, size_t to) {
  for (size_t at = from; at > to; at -= 4) {
    program.add(BPF_ST | BPF_MEM | BPF_W, kFrame, 0, -static_cast<int>(at), 0);
  }
}
void put_port(Program& program) {
  program.add(BPF_ST | BPF_MEM | BPF_W, kFrame, 0, -4, 0);
  program.add(BPF_STX | BPF_MEM | BPF_H, kFrame, kPort, -2, 0);
}

void refuse_own_ports(Program& program, const PodLoopback& loopback) {
  for (const uint16_t port : loopback.own_ports) program.jump(BPF_JEQ, kPort, htons(port));
}

// kAddress and kPort are whom somebody wants: goes on behind it when that one is not in the guest.
void look_in_guest(Program& program, const PodLoopback& loopback) {
  constexpr size_t kSize = sizeof(bpf_sock_tuple::ipv4);
  require_shared_address(program, loopback);
  put_zero(program, kSize, kSize - 4);
  program.add(BPF_STX | BPF_MEM | BPF_W, kFrame, kAddress, -static_cast<int>(kSize) + 4, 0);
  put_port(program);
  require_nobody(program, kSize);
  refuse_own_ports(program, loopback);
}

void begin(Program& program) {
  program.move(kContext, kArgument1);
  program.load(kPort, offsetof(bpf_sock_addr, user_port));
}

constexpr size_t ip6_word(size_t index) {
  return offsetof(bpf_sock_addr, user_ip6) + 4 * index;
}
constexpr uint32_t kMapped = 0x0000ffff;  // the third word of ::ffff:1.2.3.4

std::vector<bpf_insn> outgoing_v4(const PodLoopback& loopback) {
  Program program;
  begin(program);
  program.load(kAddress, offsetof(bpf_sock_addr, user_ip4));
  look_in_guest(program, loopback);
  program.set(kAddress, loopback.gateway);
  program.store(offsetof(bpf_sock_addr, user_ip4), kAddress);
  return std::move(program).finish();
}

// ::ffff:127.0.0.1, which is how programs with sockets for both say it.
std::vector<bpf_insn> outgoing_mapped(const PodLoopback& loopback) {
  Program program;
  begin(program);
  for (const size_t word : {size_t{0}, size_t{1}}) {
    program.load(kScratch, ip6_word(word));
    program.jump(BPF_JNE, kScratch, 0);
  }
  program.load(kScratch, ip6_word(2));
  program.jump(BPF_JNE, kScratch, network_order(kMapped));
  program.load(kAddress, ip6_word(3));
  look_in_guest(program, loopback);
  program.set(kAddress, loopback.gateway);
  program.store(ip6_word(3), kAddress);
  return std::move(program).finish();
}

// ::1 becomes ::ffff:GATEWAY, which a socket for IPv6 alone can't be connected to either.
std::vector<bpf_insn> outgoing_v6(const PodLoopback& loopback) {
  constexpr size_t kSize = sizeof(bpf_sock_tuple::ipv6);
  Program program;
  begin(program);
  for (const size_t word : {size_t{0}, size_t{1}, size_t{2}}) {
    program.load(kScratch, ip6_word(word));
    program.jump(BPF_JNE, kScratch, 0);
  }
  program.load(kAddress, ip6_word(3));
  program.jump(BPF_JNE, kAddress, network_order(1));
  put_zero(program, kSize, 8);
  program.add(BPF_STX | BPF_MEM | BPF_W, kFrame, kAddress, -8, 0);
  put_port(program);
  require_nobody(program, kSize);
  refuse_own_ports(program, loopback);
  program.set(kScratch, network_order(kMapped));
  program.store(ip6_word(2), kScratch);
  program.set(kAddress, loopback.gateway);
  program.store(ip6_word(3), kAddress);
  return std::move(program).finish();
}

// Who it was from: the gateway is nobody's name for the loopback.
std::vector<bpf_insn> incoming_v4(const PodLoopback& loopback) {
  Program program;
  program.move(kContext, kArgument1);
  program.load(kScratch, offsetof(bpf_sock_addr, user_ip4));
  program.jump(BPF_JNE, kScratch, loopback.gateway);
  program.set(kScratch, network_order(INADDR_LOOPBACK));
  program.store(offsetof(bpf_sock_addr, user_ip4), kScratch);
  return std::move(program).finish();
}

std::vector<bpf_insn> incoming_v6(const PodLoopback& loopback) {
  Program program;
  program.move(kContext, kArgument1);
  program.load(kScratch, ip6_word(2));
  program.jump(BPF_JNE, kScratch, network_order(kMapped));
  program.load(kScratch, ip6_word(3));
  program.jump(BPF_JNE, kScratch, loopback.gateway);
  program.set(kScratch, network_order(INADDR_LOOPBACK));
  program.store(ip6_word(3), kScratch);
  return std::move(program).finish();
}

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

std::unexpected<Error> bpf_failed(const char* what) {
  const int errnum = errno;
  Error error = Error::from_errno(errnum, what);
  if (errnum != ENOSYS && errnum != EINVAL) return std::unexpected(std::move(error));
  return std::unexpected(std::move(error)
                             .with_code(ErrorCode::kUnsupported)
                             .hint("the guest's kernel needs CONFIG_CGROUP_BPF: trivet vm setup"));
}

Result<UniqueFd> load_program(const std::vector<bpf_insn>& program, bpf_attach_type type) {
  static const char kLicense[] = "Apache-2.0";
  constexpr int kRetries = 5;
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  attributes.expected_attach_type = type;
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.license = reinterpret_cast<uint64_t>(&kLicense[0]);
  // The verifier gives up with EAGAIN when a signal is pending.
  for (int attempt = 0; attempt < kRetries; ++attempt) {
    const int fd = bpf(BPF_PROG_LOAD, attributes);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EAGAIN) break;
  }
  return bpf_failed("bpf BPF_PROG_LOAD for the pod's loopback");
}

Result<> attach(const std::vector<bpf_insn>& program, bpf_attach_type type,
                const UniqueFd& cgroup) {
  const UniqueFd fd = TRY(load_program(program, type));
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup.get());
  attributes.attach_bpf_fd = static_cast<uint32_t>(fd.get());
  attributes.attach_type = type;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (bpf(BPF_PROG_ATTACH, attributes) == 0) return {};
  return bpf_failed("bpf BPF_PROG_ATTACH for the pod's loopback");
}

}  // namespace

Result<> share_pod_loopback(const PodLoopback& loopback, const UniqueFd& cgroup) {
  const std::vector<bpf_insn> out = outgoing_v4(loopback);
  TRY(attach(out, BPF_CGROUP_INET4_CONNECT, cgroup));
  TRY(attach(out, BPF_CGROUP_UDP4_SENDMSG, cgroup));
  TRY(attach(outgoing_mapped(loopback), BPF_CGROUP_INET6_CONNECT, cgroup));
  TRY(attach(outgoing_v6(loopback), BPF_CGROUP_INET6_CONNECT, cgroup));
  const std::vector<bpf_insn> in = incoming_v4(loopback);
  TRY(attach(in, BPF_CGROUP_UDP4_RECVMSG, cgroup));
  TRY(attach(in, BPF_CGROUP_INET4_GETPEERNAME, cgroup));
  const std::vector<bpf_insn> in6 = incoming_v6(loopback);
  TRY(attach(in6, BPF_CGROUP_UDP6_RECVMSG, cgroup));
  return attach(in6, BPF_CGROUP_INET6_GETPEERNAME, cgroup);
}

}  // namespace trivet::guest
