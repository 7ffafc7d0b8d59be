#include "guest/vminit/network.h"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/text.h"
#include "linux/rtnetlink.h"
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>

namespace trivet::guest {

namespace {

constexpr const char* kDevices = "/sys/class/net";

struct Device {
  int index = 0;
  std::string name;
  std::string mac;  // as text
};

std::string attribute(const std::string& device, const char* name) {
  const auto text = read_file(fmt::format("{}/{}/{}", kDevices, device, name), 4096);
  return text ? std::string(trim(*text)) : std::string();
}

Result<std::vector<Device>> list_ethernet() {
  std::vector<Device> devices;
  for (const std::string& name : TRY(list_dir(AT_FDCWD, kDevices))) {
    if (parse_int(attribute(name, "type")).value_or(0) != ARPHRD_ETHER) continue;
    devices.push_back({.index = static_cast<int>(::if_nametoindex(name.c_str())),
                       .name = name,
                       .mac = attribute(name, "address")});
  }
  std::ranges::sort(devices, {}, &Device::index);
  return devices;
}

// Takes the device for an interface out of those that are left.
Result<Device> take_device(std::vector<Device>& devices, const Interface& interface) {
  auto found = std::ranges::find(devices, interface.mac, &Device::mac);
  if (found == devices.end() || interface.mac.empty()) found = devices.begin();
  if (found == devices.end()) {
    return fail(ErrorCode::kNotFound, "the guest has no network device for \"{}\"", interface.name);
  }
  Device device = *found;
  devices.erase(found);
  return device;
}

ifinfomsg link_header(int index) {
  return {.ifi_family = AF_UNSPEC, .ifi_index = index};
}

// What can be changed of a device that is down only.
Result<> configure_link(NetlinkSocket& socket, const Device& device, const Interface& interface) {
  NetlinkRequest request(RTM_NEWLINK, 0, link_header(device.index));
  if (interface.name != device.name) {
    request.add(IFLA_IFNAME, {interface.name.c_str(), interface.name.size() + 1});
  }
  if (!interface.mac.empty()) request.add(IFLA_ADDRESS, TRY(parse_mac(interface.mac)));
  if (interface.mtu != 0) request.add_u32(IFLA_MTU, interface.mtu);
  return socket.request(request, fmt::format("configure \"{}\"", interface.name));
}

Result<> raise_link(NetlinkSocket& socket, const Device& device, const Interface& interface) {
  ifinfomsg header = link_header(device.index);
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  const NetlinkRequest request(RTM_NEWLINK, 0, header);
  return socket.request(request, fmt::format("bring up \"{}\"", interface.name));
}

Result<> add_address(NetlinkSocket& socket, int index, const std::string& text) {
  const Prefix prefix = TRY(parse_prefix(text));
  const ifaddrmsg header{.ifa_family = static_cast<uint8_t>(prefix.family),
                         .ifa_prefixlen = static_cast<uint8_t>(prefix.length),
                         // Nobody else is on this link: the address is usable at once.
                         .ifa_flags = IFA_F_NODAD,
                         .ifa_scope = RT_SCOPE_UNIVERSE,
                         .ifa_index = static_cast<uint32_t>(index)};
  NetlinkRequest request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, header);
  request.add(IFA_LOCAL, prefix.bytes);
  request.add(IFA_ADDRESS, prefix.bytes);
  return socket.request(request, fmt::format("add address \"{}\"", text));
}

Result<> send_route(NetlinkSocket& socket, int index, const Route& route, unsigned flags) {
  const Prefix destination = TRY(parse_prefix(route.destination));
  const bool on_link = route.gateway.empty();
  const bool is_direct = on_link && destination.family == AF_INET;
  const rtmsg header{
      .rtm_family = static_cast<uint8_t>(destination.family),
      .rtm_dst_len = static_cast<uint8_t>(destination.length),
      .rtm_table = RT_TABLE_MAIN,
      .rtm_protocol = RTPROT_BOOT,
      .rtm_scope = static_cast<uint8_t>(is_direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE),
      .rtm_type = RTN_UNICAST,
      .rtm_flags = flags};
  NetlinkRequest request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, header);
  if (destination.length > 0) request.add(RTA_DST, destination.bytes);
  if (!on_link) request.add(RTA_GATEWAY, TRY(parse_prefix(route.gateway)).bytes);
  request.add_u32(RTA_OIF, static_cast<uint32_t>(index));
  return socket.request(request, fmt::format("add route \"{}\"", route.destination));
}

// A gateway that no address of ours reaches is on the link all the same: the host says so.
Result<> add_route(NetlinkSocket& socket, int index, const Route& route) {
  auto added = send_route(socket, index, route, 0);
  const int errnum = added ? 0 : added.error().errnum();
  const bool unreachable = errnum == ENETUNREACH || errnum == EHOSTUNREACH || errnum == EINVAL;
  if (!unreachable || route.gateway.empty()) return added;
  return send_route(socket, index, route, RTNH_F_ONLINK);
}

Result<> ask_for_neighbour(NetlinkSocket& socket, int index, const std::string& address) {
  const Prefix neighbour = TRY(parse_prefix(address));
  const ndmsg header{.ndm_family = static_cast<uint8_t>(neighbour.family),
                     .ndm_ifindex = index,
                     .ndm_state = NUD_NONE,
                     .ndm_flags = NTF_USE};
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE, header);
  request.add(NDA_DST, neighbour.bytes);
  return socket.request(request, fmt::format("ask for \"{}\"", address));
}

Result<> configure(NetlinkSocket& socket, const Device& device, const Interface& interface) {
  TRY(configure_link(socket, device, interface));
  TRY(raise_link(socket, device, interface));
  for (const std::string& address : interface.addresses) {
    TRY(add_address(socket, device.index, address));
  }
  // Those on the link first: they may lead to the gateways of the others.
  for (const bool on_link : {true, false}) {
    for (const Route& route : interface.routes) {
      if (route.gateway.empty() == on_link) TRY(add_route(socket, device.index, route));
    }
  }
  for (const Route& route : interface.routes) {
    if (!route.gateway.empty()) TRY(ask_for_neighbour(socket, device.index, route.gateway));
  }
  return {};
}

}  // namespace

Result<Prefix> parse_prefix(std::string_view text) {
  const auto wrong = [&] {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no address", text);
  };
  const size_t slash = text.find('/');
  const std::string address(text.substr(0, slash));
  Prefix prefix{.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6};
  std::array<char, 16> bytes{};
  if (::inet_pton(prefix.family, address.c_str(), bytes.data()) != 1) return wrong();
  prefix.bytes.assign(bytes.data(), prefix.family == AF_INET ? 4 : 16);
  prefix.length = static_cast<unsigned>(prefix.bytes.size() * 8);
  if (slash == std::string_view::npos) return prefix;
  const auto length = parse_int(text.substr(slash + 1));
  if (!length || *length < 0 || *length > int64_t{prefix.length}) return wrong();
  prefix.length = static_cast<unsigned>(*length);
  return prefix;
}

Result<std::string> parse_mac(std::string_view text) {
  std::string bytes;
  for (const std::string& part : split(text, ':')) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    unsigned value = 0;
    for (const char c : part) {
      const size_t digit = kDigits.find(static_cast<char>(c >= 'A' && c <= 'F' ? c + 32 : c));
      if (digit == std::string_view::npos) value = 256;
      value = value * 16 + static_cast<unsigned>(digit & 15U);
    }
    if (part.size() != 2 || value > 255) break;
    bytes += static_cast<char>(value);
  }
  constexpr size_t kSize = 6;
  if (bytes.size() == kSize && text.size() == 3 * kSize - 1) return bytes;
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is no MAC address", text);
}

Result<> configure_network(const std::vector<Interface>& interfaces) {
  if (interfaces.empty()) return {};
  NetlinkSocket socket = TRY(NetlinkSocket::open());
  std::vector<Device> devices = TRY(list_ethernet());
  for (const Interface& interface : interfaces) {
    const Device device = TRY(take_device(devices, interface));
    TRY_IN(configure(socket, device, interface), "network");
  }
  return {};
}

}  // namespace trivet::guest
