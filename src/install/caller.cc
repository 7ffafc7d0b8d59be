#include "install/caller.h"

#include <array>
#include <cstdlib>

#include "base/paths.h"

namespace trivet {

namespace {

struct Known {
  std::string_view name;
  Caller caller;
};

constexpr auto kCallers = std::to_array<Known>({{"docker", Caller::kDocker},
                                                {"podman", Caller::kPodman},
                                                {"containerd", Caller::kContainerd},
                                                {"cri-o", Caller::kCrio}});

}  // namespace

Result<Caller> parse_caller(std::string_view name) {
  for (const Known& known : kCallers) {
    if (known.name == name) return known.caller;
  }
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("unknown program \"{}\"", name))
          .hint("known are docker, podman, containerd, cri-o and kubernetes"));
}

std::string_view caller_name(Caller caller) {
  for (const Known& known : kCallers) {
    if (known.caller == caller) return known.name;
  }
  return {};
}

namespace install {

namespace {

// Podman's, which is not trivet's: $XDG_CONFIG_HOME/containers.
std::string user_config_dir() {
  const char* base = std::getenv("XDG_CONFIG_HOME");  // NOLINT(concurrency-mt-unsafe)
  if (base != nullptr && *base == '/') return base;
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
  return fmt::format("{}/.config", home == nullptr ? "" : home);
}

}  // namespace

std::string default_config_file(Caller caller, bool for_user) {
  switch (caller) {
    case Caller::kDocker:
      return "/etc/docker/daemon.json";
    case Caller::kPodman:
      return (for_user ? user_config_dir() : std::string("/etc")) +
             "/containers/containers.conf.d/50-trivet.conf";
    case Caller::kContainerd:
      return "/etc/containerd/config.toml";
    case Caller::kCrio:
      return "/etc/crio/crio.conf.d/50-trivet.conf";
  }
  return {};
}

}  // namespace install
}  // namespace trivet
