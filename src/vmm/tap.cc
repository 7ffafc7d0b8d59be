#include "vmm/tap.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cstring>
#include <map>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "linux/rtnetlink.h"
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>

namespace trivet::vmm {

namespace {

constexpr uint32_t kIngressHandle = 0xFFFF0000;
// Names of the kernel's modules, with the NUL that ends them.
constexpr std::string_view kIngress("ingress\0", 8);
constexpr std::string_view kU32("u32\0", 4);
constexpr std::string_view kMirred("mirred\0", 7);

std::string tap_name(size_t number) {
  return fmt::format("trivet-tap{}", number);
}

std::string print_address(int family, std::string_view bytes) {
  char text[INET6_ADDRSTRLEN] = {};
  const size_t wanted = family == AF_INET ? sizeof(in_addr) : sizeof(in6_addr);
  if (bytes.size() != wanted || inet_ntop(family, bytes.data(), text, sizeof text) == nullptr) {
    return {};
  }
  return text;
}

std::string print_mac(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) {
    text += fmt::format("{}{:02x}", text.empty() ? "" : ":", static_cast<unsigned char>(byte));
  }
  return text;
}

template <typename Value>
Value read_value(std::string_view bytes) {
  Value value{};
  if (bytes.size() >= sizeof value) std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// ---- what there is

using Interfaces = std::map<int, FoundInterface>;

void add_link(const NetlinkMessage& message, Interfaces& interfaces) {
  const auto header = message.header<ifinfomsg>();
  if ((header.ifi_flags & IFF_LOOPBACK) != 0 || (header.ifi_flags & IFF_UP) == 0) return;
  const std::string_view name = message.attribute<ifinfomsg>(IFLA_IFNAME);
  interfaces[header.ifi_index] = {
      .index = header.ifi_index,
      .interface = {.mac = print_mac(message.attribute<ifinfomsg>(IFLA_ADDRESS)),
                    .name = std::string(name.substr(0, name.find('\0'))),
                    .mtu = read_value<uint32_t>(message.attribute<ifinfomsg>(IFLA_MTU))}};
}

void add_address(const NetlinkMessage& message, Interfaces& interfaces) {
  const auto header = message.header<ifaddrmsg>();
  const auto found = interfaces.find(static_cast<int>(header.ifa_index));
  // The guest's kernel makes link-local ones itself.
  if (found == interfaces.end() || header.ifa_scope == RT_SCOPE_HOST ||
      (header.ifa_family == AF_INET6 && header.ifa_scope != RT_SCOPE_UNIVERSE)) {
    return;
  }
  // Of a peer-to-peer address IFA_ADDRESS is the other end.
  std::string_view bytes = message.attribute<ifaddrmsg>(IFA_LOCAL);
  if (bytes.empty()) bytes = message.attribute<ifaddrmsg>(IFA_ADDRESS);
  const std::string address = print_address(header.ifa_family, bytes);
  if (address.empty()) return;
  found->second.interface.addresses.push_back(fmt::format("{}/{}", address, header.ifa_prefixlen));
}

void add_route(const NetlinkMessage& message, Interfaces& interfaces) {
  const auto header = message.header<rtmsg>();
  const auto found = interfaces.find(read_value<int>(message.attribute<rtmsg>(RTA_OIF)));
  // Those of the kernel's own come with the addresses.
  if (found == interfaces.end() || header.rtm_table != RT_TABLE_MAIN ||
      header.rtm_type != RTN_UNICAST || header.rtm_protocol == RTPROT_KERNEL ||
      (header.rtm_flags & RTM_F_CLONED) != 0) {
    return;
  }
  const int family = header.rtm_family;
  std::string destination = print_address(family, message.attribute<rtmsg>(RTA_DST));
  if (destination.empty()) destination = family == AF_INET ? "0.0.0.0" : "::";
  found->second.interface.routes.push_back(
      {.destination = fmt::format("{}/{}", destination, header.rtm_dst_len),
       .gateway = print_address(family, message.attribute<rtmsg>(RTA_GATEWAY))});
}

Result<Interfaces> read_interfaces(NetlinkSocket& socket) {
  Interfaces interfaces;
  const NetlinkRequest links(RTM_GETLINK, NLM_F_DUMP, ifinfomsg{});
  TRY(socket.list(links, "list the network interfaces",
                  [&](const NetlinkMessage& message) { add_link(message, interfaces); }));
  const NetlinkRequest addresses(RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{});
  TRY(socket.list(addresses, "list the network addresses",
                  [&](const NetlinkMessage& message) { add_address(message, interfaces); }));
  const NetlinkRequest routes(RTM_GETROUTE, NLM_F_DUMP, rtmsg{});
  TRY(socket.list(routes, "list the network routes",
                  [&](const NetlinkMessage& message) { add_route(message, interfaces); }));
  return interfaces;
}

// ---- the devices and what joins them

Result<> raise_tap(NetlinkSocket& socket, int index, uint32_t mtu) {
  const ifinfomsg header{
      .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
  NetlinkRequest request(RTM_NEWLINK, 0, header);
  if (mtu != 0) request.add_u32(IFLA_MTU, mtu);
  return socket.request(request, "raise the tap device");
}

tcmsg control_header(int index) {
  return {.tcm_family = AF_UNSPEC,
          .tcm_ifindex = index,
          .tcm_handle = kIngressHandle,
          .tcm_parent = TC_H_INGRESS};
}

// One of a machine that has ended goes first.
Result<> add_ingress(NetlinkSocket& socket, int index) {
  NetlinkRequest remove(RTM_DELQDISC, 0, control_header(index));
  remove.add(TCA_KIND, kIngress);
  (void)socket.request(remove, "remove the old ingress queue");
  NetlinkRequest add(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, control_header(index));
  add.add(TCA_KIND, kIngress);
  return socket.request(add, "make an ingress queue");
}

// Everything that comes in at `from` goes out at `to`. With u32, which more kernels have than
// matchall.
Result<> redirect(NetlinkSocket& socket, int from, int to) {
  tcmsg header{.tcm_family = AF_UNSPEC, .tcm_ifindex = from, .tcm_parent = kIngressHandle};
  header.tcm_info = TC_H_MAKE(1U << 16U, htons(ETH_P_ALL));
  NetlinkRequest request(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, header);
  request.add(TCA_KIND, kU32);
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  std::string everything(reinterpret_cast<const char*>(&selector), sizeof selector);
  everything.append(sizeof(tc_u32_key), '\0');  // no bit is looked at
  tc_mirred action{};
  action.action = TC_ACT_STOLEN;
  action.eaction = TCA_EGRESS_REDIR;
  action.ifindex = static_cast<uint32_t>(to);
  request.add_nested(TCA_OPTIONS, [&] {
    request.add(TCA_U32_SEL, everything);
    request.add_nested(TCA_U32_ACT, [&] {
      request.add_nested(1, [&] {
        request.add(TCA_ACT_KIND, kMirred);
        request.add_nested(TCA_ACT_OPTIONS, [&] { request.add_struct(TCA_MIRRED_PARMS, action); });
      });
    });
  });
  return socket.request(request, "redirect what comes in");
}

}  // namespace

Result<std::vector<FoundInterface>> find_interfaces() {
  NetlinkSocket socket = TRY(NetlinkSocket::open());
  std::vector<FoundInterface> found;
  for (auto& [index, candidate] : TRY(read_interfaces(socket))) {
    if (candidate.interface.addresses.empty() || candidate.interface.mac.empty()) continue;
    // A gateway has to be reachable when its route is made.
    std::ranges::stable_partition(candidate.interface.routes,
                                  [](const guest::Route& route) { return route.gateway.empty(); });
    found.push_back(std::move(candidate));
  }
  if (found.size() > kMaxTaps) {
    return fail(ErrorCode::kUnsupported, "{} network interfaces: a microVM can have {}",
                found.size(), kMaxTaps);
  }
  return found;
}

Result<UniqueFd> make_tap(size_t number) {
  UniqueFd fd = TRY(open_file("/dev/net/tun", O_RDWR | O_NONBLOCK));
  ifreq request{};
  const std::string name = tap_name(number);
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd.get(), TUNSETIFF, &request) == 0) return fd;
  if (errno == EBUSY) {
    return fail(ErrorCode::kAlreadyExists,
                "another virtual machine has the interfaces of this network namespace");
  }
  return fail_errno("make the tap device \"{}\"", name);
}

Result<Tap> join_interface(const FoundInterface& found, size_t number) {
  Tap tap {
    .fd = TRY(make_tap(number))
    , .interface = found.interface
  };
  const auto index = static_cast<int>(if_nametoindex(tap_name(number).c_str()));
  if (index == 0) return fail_errno("find the tap device");
  const auto join = [&]() -> Result<> {
    NetlinkSocket socket = TRY(NetlinkSocket::open());
    TRY(raise_tap(socket, index, found.interface.mtu));
    TRY(add_ingress(socket, found.index));
    TRY(add_ingress(socket, index));
    TRY(redirect(socket, found.index, index));
    return redirect(socket, index, found.index);
  };
  TRY_IN(join(), "network interface \"{}\"", found.interface.name);
  return tap;
}

}  // namespace trivet::vmm
