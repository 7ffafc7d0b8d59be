// /etc/hosts and /etc/resolv.conf of a container.
#include <algorithm>
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/text.h"
#include "net/network.h"

namespace trivet::net {

namespace {

// A word that can't break out of its line.
bool is_word(std::string_view text) {
  return !text.empty() &&
         std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c != 127; });
}

Result<> check_address(std::string_view text) {
  in6_addr buffer{};
  const std::string bare(text.substr(0, text.find('%')));
  if (is_word(text) && (inet_pton(AF_INET, bare.c_str(), &buffer) == 1 ||
                        inet_pton(AF_INET6, bare.c_str(), &buffer) == 1)) {
    return {};
  }
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is not an IP address", text);
}

Result<> check_word(std::string_view text, std::string_view what) {
  if (is_word(text)) return {};
  return fail(ErrorCode::kInvalidArgument, "{} \"{}\" is empty or holds blanks", what, text);
}

bool is_loopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1" || address == "0.0.0.0" ||
         address.starts_with("::1%");
}

Result<std::string> host_line(const std::string& entry) {
  const size_t colon = entry.find(':');
  if (colon == std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "extra host \"{}\" is not of the form NAME:ADDRESS",
                entry);
  }
  const std::string name = entry.substr(0, colon);
  std::string_view address = std::string_view(entry).substr(colon + 1);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  TRY_IN(check_word(name, "name"), "extra host \"{}\"", entry);
  TRY_IN(check_address(address), "extra host \"{}\"", entry);
  return fmt::format("{}\t{}\n", address, name);
}

struct HostResolver {
  std::vector<std::string> servers;
  std::string search;  // whole lines
  std::string options;
};

HostResolver parse_resolver(std::string_view file) {
  HostResolver host;
  for (const std::string& raw : split(file, '\n')) {
    const std::string_view line = trim(raw);
    const size_t blank = line.find_first_of(" \t");
    if (blank == std::string_view::npos) continue;
    const std::string_view keyword = line.substr(0, blank);
    std::string_view value = trim(line.substr(blank));
    if (keyword == "nameserver") {
      value = value.substr(0, value.find_first_of(" \t#;"));
      host.servers.emplace_back(value);
    } else if (keyword == "search" || keyword == "domain") {
      host.search = fmt::format("search {}\n", value);  // the last one counts: resolv.conf(5)
    } else if (keyword == "options") {
      host.options += fmt::format("options {}\n", value);
    }
  }
  return host;
}

// Name servers on the host's loopback are not there in another namespace.
std::vector<std::string> reachable_servers(const std::vector<std::string>& servers, Mode mode) {
  std::vector<std::string> result;
  for (const std::string& server : servers) {
    std::string name = server;
    if (mode != Mode::kHost && is_loopback(server)) {
      if (mode != Mode::kPasta) continue;
      name = kDnsForwarder;
    }
    if (std::ranges::find(result, name) == result.end()) result.push_back(name);
  }
  return result;
}

}  // namespace

Result<std::string> make_hosts_file(const HostsOptions& options) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n";
  std::string names = options.hostname;
  if (!options.name.empty() && options.name != options.hostname) {
    names += fmt::format("{}{}", names.empty() ? "" : " ", options.name);
  }
  if (!names.empty()) {
    text += fmt::format("{}\t{}\n", options.address.empty() ? "127.0.1.1" : options.address, names);
  }
  for (const std::string& entry : options.extra) text += TRY(host_line(entry));
  return text;
}

Result<std::string> make_resolv_conf(std::string_view host_file, Mode mode, const DnsOptions& dns) {
  for (const std::string& server : dns.servers) {
    TRY_IN(check_address(server), "DNS server");
  }
  for (const std::string& search : dns.searches) TRY(check_word(search, "DNS search domain"));
  for (const std::string& option : dns.options) TRY(check_word(option, "DNS option"));
  const HostResolver host = parse_resolver(host_file);
  std::string text;
  if (dns.searches.empty()) {
    text += host.search;
  } else if (dns.searches != std::vector<std::string>{"."}) {
    text += fmt::format("search {}\n", join(dns.searches, " "));
  }
  for (const std::string& server :
       dns.servers.empty() ? reachable_servers(host.servers, mode) : dns.servers) {
    text += fmt::format("nameserver {}\n", server);
  }
  text += dns.options.empty() ? host.options : fmt::format("options {}\n", join(dns.options, " "));
  return text;
}

}  // namespace trivet::net
