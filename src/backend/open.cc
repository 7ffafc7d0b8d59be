// Runtime::open(): which backend a name means.
#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "backend/trivet_backend.h"
#include "trivet/null_runtime.h"
#include "trivet/podman_runtime.h"
#include "trivet/runtime.h"

namespace trivet {

namespace {

using Opener = Result<std::shared_ptr<Backend>> (*)(const RuntimeOptions& options);

Result<std::shared_ptr<Backend>> open_null(const RuntimeOptions& /*options*/) {
  return std::make_shared<NullRuntime>();
}

Result<std::shared_ptr<Backend>> open_podman(const RuntimeOptions& /*options*/) {
  return PodmanRuntime::open();
}

template <const char* Isolation>
Result<std::shared_ptr<Backend>> open_isolated(const RuntimeOptions& options) {
  return backend::open_trivet(options.engine, Isolation);
}

constexpr char kNative[] = "native";
constexpr char kMicrovm[] = "microvm";
constexpr char kWasm[] = "wasm";

struct Known {
  std::string_view name;
  std::string_view alias;  // what users of other engines call it
  Opener open;
};

constexpr std::array kKnown{
    Known{.name = kNative, .alias = "crun", .open = open_isolated<kNative>},
    Known{.name = kMicrovm, .alias = "krun", .open = open_isolated<kMicrovm>},
    Known{.name = kWasm, .alias = "", .open = open_isolated<kWasm>},
    Known{.name = "podman", .alias = "", .open = open_podman},
    Known{.name = "null", .alias = "", .open = open_null},
};

std::string known_names() {
  std::vector<std::string> names;
  for (const Known& known : kKnown) {
    names.push_back(known.alias.empty() ? std::string(known.name)
                                        : fmt::format("{} (or {})", known.name, known.alias));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

Result<Runtime> Runtime::open(const RuntimeOptions& options) {
  if (options.runtime.empty()) return Runtime(TRY(backend::open_trivet(options.engine, "")));
  const auto* known = std::ranges::find_if(kKnown, [&](const Known& entry) {
    return entry.name == options.runtime || entry.alias == options.runtime;
  });
  if (known != kKnown.end()) return Runtime(TRY(known->open(options)));
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("unknown runtime \"{}\"", options.runtime))
          .hint(fmt::format("known runtimes are {}", known_names())));
}

}  // namespace trivet
