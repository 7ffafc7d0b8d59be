#include "image/registry_platform.h"

#include <algorithm>
#include <array>
#include <functional>
#include <sys/utsname.h>
#include <utility>
#include <vector>

#include "base/text.h"

namespace trivet::image {

namespace {

// uname(2)'s and other names to Go's (image-spec: image-index.md, "architecture").
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kArchitectures{{
    {"x86_64", "amd64"},
    {"x86-64", "amd64"},
    {"aarch64", "arm64"},
    {"i386", "386"},
    {"i686", "386"},
    {"armv7l", "arm"},
    {"armv6l", "arm"},
    {"loongarch64", "loong64"},
}};

oci::Platform normal_form(oci::Platform platform) {
  for (const auto& [name, normal] : kArchitectures) {
    if (platform.architecture != name) continue;
    if (name.starts_with("armv")) platform.variant = name.substr(3, 2);
    platform.architecture = normal;
    break;
  }
  if (platform.architecture == "arm64" && platform.variant.empty()) platform.variant = "v8";
  if (platform.architecture == "amd64" && platform.variant == "v1") platform.variant.clear();
  return platform;
}

bool fits(std::string_view offered, std::string_view wanted) {
  return offered.empty() || wanted.empty() || offered == wanted;
}

// 0: does not run; the higher the better.
int rank(const oci::Platform& offered_raw, const oci::Platform& wanted_raw) {
  const oci::Platform offered = normal_form(offered_raw);
  const oci::Platform wanted = normal_form(wanted_raw);
  if (!fits(offered.os, wanted.os) || !fits(offered.architecture, wanted.architecture)) return 0;
  if (offered.variant == wanted.variant) return 100;
  // amd64/v2 and higher need a newer processor than plain amd64 promises.
  if (offered.variant.empty()) return 90;
  if (wanted.variant.empty()) return offered.architecture == "amd64" ? 0 : 80;
  // v8 runs v7 code and v7 runs v6, among the variants of one architecture.
  return offered.variant < wanted.variant ? 10 + offered.variant.back() - '0' : 0;
}

bool is_index(const oci::Descriptor& entry) {
  return entry.media_type == oci::kMediaIndex || entry.media_type == oci::kMediaDockerList;
}

std::string list_platforms(const oci::Index& index) {
  std::vector<std::string> names;
  for (const oci::Descriptor& entry : index.manifests) {
    if (!entry.platform || entry.platform->os == "unknown") continue;
    std::string name = print_platform(*entry.platform);
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names.empty() ? "none" : join(names, ", ");
}

}  // namespace

oci::Platform host_platform() {
  utsname name{};
  (void)::uname(&name);
  return normal_form({.os = "linux", .architecture = name.machine, .variant = ""});
}

std::vector<oci::Platform> runnable_platforms() {
  std::vector<oci::Platform> platforms{host_platform()};
  for (const char* os : {"wasi", "wasip1", "wasip2"}) {
    for (const char* architecture : {"wasm", "wasm32"}) {
      platforms.push_back({.os = os, .architecture = architecture, .variant = ""});
    }
  }
  return platforms;
}

std::string print_platform(const oci::Platform& platform) {
  std::string result = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) result += "/" + platform.variant;
  return result;
}

bool platform_matches(const oci::Platform& offered, const oci::Platform& wanted) {
  return rank(offered, wanted) > 0;
}

Result<std::vector<oci::Descriptor>> choose_manifests(const oci::Index& index,
                                                      const oci::Platform& wanted) {
  std::vector<std::pair<int, const oci::Descriptor*>> ranked;
  for (const oci::Descriptor& entry : index.manifests) {
    // Without a platform: a nested index may hold ours, a lone manifest may be it.
    const bool open = !entry.platform || (is_index(entry) && entry.platform->os.empty());
    const int entry_rank = open ? 1 : rank(*entry.platform, wanted);
    if (entry_rank > 0) ranked.emplace_back(entry_rank, &entry);
  }
  if (ranked.empty()) {
    return std::unexpected(
        Error(ErrorCode::kNotFound, fmt::format("no image for platform {}; there is: {}",
                                                print_platform(wanted), list_platforms(index)))
            .hint("choose one with --platform OS/ARCH[/VARIANT]"));
  }
  std::ranges::stable_sort(ranked, std::greater<>(),
                           &std::pair<int, const oci::Descriptor*>::first);
  std::vector<oci::Descriptor> result;
  for (const auto& [unused, entry] : ranked) result.push_back(*entry);
  return result;
}

Result<std::vector<oci::Descriptor>> choose_manifests(const oci::Index& index,
                                                      const std::vector<oci::Platform>& wanted) {
  auto first = choose_manifests(index, wanted.front());
  for (size_t i = 1; i < wanted.size() && !first; ++i) {
    if (auto chosen = choose_manifests(index, wanted[i])) return chosen;
  }
  return first;
}

}  // namespace trivet::image
