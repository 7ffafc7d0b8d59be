// The host's address as pasta sees it: that of the interface with the first default route.
#include "net/routes.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>
#include <ifaddrs.h>
#include <memory>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/text.h"
#include "net/network.h"

namespace trivet::net {

namespace {

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> result;
  size_t at = 0;
  while ((at = line.find_first_not_of(" \t", at)) != std::string_view::npos) {
    const size_t end = std::min(line.find_first_of(" \t", at), line.size());
    result.push_back(line.substr(at, end - at));
    at = end;
  }
  return result;
}

// The first address of `family` on the interface, link-local ones left out.
std::string interface_address(const std::string& name, int family) {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != family ||
        name != entry->ifa_name) {
      continue;
    }
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (family == AF_INET) {
      sockaddr_in address{};
      std::memcpy(&address, entry->ifa_addr, sizeof address);
      inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
    } else {
      sockaddr_in6 address{};
      std::memcpy(&address, entry->ifa_addr, sizeof address);
      if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr)) continue;
      inet_ntop(AF_INET6, &address.sin6_addr, text.data(), text.size());
    }
    return text.data();
  }
  return {};
}

}  // namespace

std::string find_default_interface_v4(std::string_view table) {
  for (const std::string& line : split(table, '\n')) {
    // Iface Destination Gateway Flags RefCnt Use Metric Mask …: proc(5), /proc/net/route
    const auto fields = words(line);
    constexpr size_t kMask = 7;
    if (fields.size() > kMask && fields[1] == "00000000" && fields[kMask] == "00000000") {
      return std::string(fields[0]);
    }
  }
  return {};
}

std::string find_default_interface_v6(std::string_view table) {
  const std::string any(32, '0');
  for (const std::string& line : split(table, '\n')) {
    // destination prefix_length source prefix_length next_hop metric ref use flags interface
    const auto fields = words(line);
    constexpr size_t kNextHop = 4;
    constexpr size_t kInterface = 9;
    if (fields.size() > kInterface && fields[0] == any && fields[1] == "00" &&
        fields[kNextHop] != any && fields[kInterface] != "lo") {
      return std::string(fields[kInterface]);
    }
  }
  return {};
}

std::string host_address() {
  if (const auto table = read_file("/proc/net/route")) {
    const std::string name = find_default_interface_v4(*table);
    if (std::string address = interface_address(name, AF_INET); !address.empty()) return address;
  }
  if (const auto table = read_file("/proc/net/ipv6_route")) {
    const std::string name = find_default_interface_v6(*table);
    return interface_address(name, AF_INET6);
  }
  return {};
}

std::string pasta_address() {
  std::string address = host_address();
  return address.empty() ? kIsolatedAddress : address;
}

}  // namespace trivet::net
