#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <set>
#include <sstream>

#include "base/paths.h"
#include "base/printable.h"
#include "base/text.h"
#include "linux/seccomp.h"
#include "pod/infra.h"

namespace trivet::pod {

namespace {

constexpr const char* kExtensionDirectory = "/extensions/";
constexpr const char* kLibraryHost = "/extensions/.host/trivet-extension";
constexpr size_t kMaxName = 63;

bool is_library(const Extension& extension) {
  return extension.path.ends_with(".so");
}

oci::Mount bind_read_only(const std::string& source, const std::string& destination,
                          std::vector<std::string> more = {}) {
  std::vector<std::string> options{"bind", "ro", "nosuid", "nodev"};
  options.insert(options.end(), more.begin(), more.end());
  return {.destination = destination, .type = "bind", .source = source, .options = options};
}

// A DNS label, as containers' names are: it becomes a file's name.
Result<> check_extension(const Extension& extension) {
  const auto is_plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const std::string& name = extension.name;
  const bool valid = !name.empty() && name.size() <= kMaxName && is_plain(name.front()) &&
                     is_plain(name.back()) &&
                     std::ranges::all_of(name, [&](char c) { return is_plain(c) || c == '-'; });
  if (!valid) {
    return fail(ErrorCode::kInvalidArgument,
                "extension \"{}\": a name is at most {} of a-z, 0-9 and '-', not at its ends", name,
                kMaxName);
  }
  if (!extension.path.starts_with('/') || normalized_path(extension.path) != extension.path) {
    return fail(ErrorCode::kInvalidArgument, "extension \"{}\": path \"{}\" is not absolute", name,
                extension.path);
  }
  return {};
}

oci::Process plan_process(const PodRecord& record) {
  oci::Process process;
  process.args = {"trivet-infra", record.extensions.empty() ? kInfraHold : kInfraServe};
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  process.no_new_privileges = true;
  std::vector<std::string> capabilities;
  if (!record.extensions.empty()) capabilities = {"CAP_NET_BIND_SERVICE"};
  process.capabilities = {
      .bounding = capabilities, .effective = capabilities, .permitted = capabilities};
  return process;
}

oci::Linux plan_namespaces(const PodRecord& record) {
  oci::Linux config;
  using Type = oci::NamespaceType;
  config.namespaces = {{.type = Type::kPid},
                       {.type = Type::kMount},
                       {.type = Type::kUts},
                       {.type = Type::kIpc},
                       {.type = Type::kCgroup}};
  if (record.network != net::Mode::kHost) config.namespaces.push_back({.type = Type::kNetwork});
  config.cgroups_path = record.cgroup_parent + "/" + record.id;
  config.resources.emplace().devices = {{.allow = false, .access = "rwm"}};
  config.masked_paths = {"/proc/kcore", "/proc/keys", "/proc/timer_list"};
  config.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                           "/proc/sysrq-trigger"};
  return config;
}

std::string replace_servers(std::string_view resolv_conf, const std::vector<std::string>& servers) {
  std::string text;
  for (const std::string& server : servers) text += fmt::format("nameserver {}\n", server);
  for (const std::string& line : split(resolv_conf, '\n')) {
    const std::string_view trimmed = trim(line);
    if (trimmed.empty() || trimmed.starts_with("nameserver")) continue;
    text += fmt::format("{}\n", line);
  }
  return text;
}

// Of the settings of `dns`, which separates them by white space, and has ADDRESS#PORT too.
Result<std::vector<std::string>> plain_servers(const std::string& settings) {
  std::vector<std::string> servers;
  std::istringstream words(settings);
  for (std::string word; words >> word;) {
    std::string address = word.ends_with("#53") ? word.substr(0, word.size() - 3) : word;
    in_addr parsed{};
    const bool is_v4 = inet_pton(AF_INET, address.c_str(), &parsed) == 1;
    if (!is_v4 || (address.starts_with("127.") && address != "127.0.0.1")) {
      return std::unexpected(
          Error(ErrorCode::kInvalidArgument,
                fmt::format("extension \"{}\": a container that is a microVM can't ask \"{}\"",
                            kDiscoveryExtension, printable(word)))
              .hint("such containers ask the servers themselves: name IPv4 addresses without a "
                    "port"));
    }
    servers.push_back(std::move(address));
  }
  return servers;
}

}  // namespace

std::string infra_environment(int socket) {
  return fmt::format("{}={}", kInfraSocketVariable, socket);
}

bool has_discovery(const std::vector<Extension>& extensions) {
  return std::ranges::find(extensions, kDiscoveryExtension, &Extension::name) != extensions.end();
}

std::string point_to_discovery(std::string_view resolv_conf) {
  const std::string text = replace_servers(resolv_conf, {kDiscoveryAddress});
  const bool has_ndots = std::ranges::any_of(split(text, '\n'), [](std::string_view line) {
    return trim(line).starts_with("options") && line.contains("ndots:");
  });
  // Otherwise a container's name is looked for in the search domains first, by other servers.
  return has_ndots ? text : text + "options ndots:0\n";
}

Result<std::string> bypass_discovery(std::string_view resolv_conf,
                                     const std::vector<Extension>& extensions) {
  const auto dns = std::ranges::find(extensions, kDiscoveryExtension, &Extension::name);
  std::vector<std::string> servers;
  if (dns != extensions.end()) servers = TRY(plain_servers(dns->settings));
  return servers.empty() ? std::string(resolv_conf) : replace_servers(resolv_conf, servers);
}

std::vector<std::string> extension_command(const Extension& extension) {
  std::string file = kExtensionDirectory + extension.name;
  if (!is_library(extension)) return {std::move(file)};
  return {kLibraryHost, file + ".so"};
}

Result<> plan_infra_mounts(const std::vector<Extension>& extensions,
                           const std::string& library_host, oci::Spec& spec) {
  if (extensions.empty()) return {};
  std::set<std::string_view> names;
  for (const Extension& extension : extensions) {
    TRY(check_extension(extension));
    if (!names.insert(extension.name).second) {
      return fail(ErrorCode::kInvalidArgument, "extension \"{}\" is there twice", extension.name);
    }
    spec.mounts.push_back(bind_read_only(extension.path, extension_command(extension).back()));
  }
  if (std::ranges::any_of(extensions, is_library)) {
    if (library_host.empty()) {
      return fail(ErrorCode::kNotFound,
                  "trivet-extension is not installed: it loads extensions that "
                  "are shared libraries");
    }
    spec.mounts.push_back(bind_read_only(library_host, kLibraryHost));
  }
  // The host's, for interpreters and shared libraries; each host has some of them.
  for (const char* path : {"/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache",
                           "/etc/alternatives", "/etc/ssl/certs"}) {
    spec.mounts.push_back(bind_read_only(path, path, {"nofail"}));
  }
  return {};
}

Result<oci::Spec> plan_infra(const InfraInputs& inputs) {
  const PodRecord& record = inputs.record;
  oci::Spec spec;
  spec.process = plan_process(record);
  spec.root = {.path = "rootfs", .readonly = true};
  spec.hostname = record.hostname;
  spec.mounts = {{.destination = "/proc",
                  .type = "proc",
                  .source = "proc",
                  .options = {"nosuid", "noexec", "nodev"}},
                 {.destination = "/dev",
                  .type = "tmpfs",
                  .source = "tmpfs",
                  .options = {"nosuid", "noexec", "mode=755", "size=64k"}}};
  TRY(plan_infra_mounts(record.extensions, inputs.library_host, spec));
  spec.linux_config = plan_namespaces(record);
  spec.linux_config->sysctl = inputs.sysctls;
  if (record.extensions.empty()) return spec;
  // Without extensions the program limits itself further than any profile does.
  spec.linux_config->seccomp = TRY(seccomp::default_profile(spec.process->capabilities->bounding));
  spec.mounts.push_back({.destination = "/tmp",
                         .type = "tmpfs",
                         .source = "tmpfs",
                         .options = {"nosuid", "nodev", "mode=1777", "size=16m"}});
  spec.mounts.push_back(
      bind_read_only(inputs.directory + "/resolv.conf.upstream", "/etc/resolv.conf"));
  return spec;
}

}  // namespace trivet::pod
