// Runtime::open(): which backend a name means.
#include <algorithm>
#include <array>

#include <fmt/ranges.h>

#include "backend/trivet_backend.h"
#include "trivet/config.h"
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
  return backend::open_trivet(options.engine, {.isolation = Isolation});
}

// Where the caller says nothing, as the command line does.
EngineOptions configured_engine(const EngineOptions& given, const Settings& settings) {
  const EngineOptions standard;
  EngineOptions engine = default_engine_options(settings);
  if (!given.data_dir.empty()) engine.data_dir = given.data_dir;
  if (!given.state_dir.empty()) engine.state_dir = given.state_dir;
  if (given.max_containers != standard.max_containers) {
    engine.max_containers = given.max_containers;
  }
  if (given.images != standard.images) engine.images = given.images;
  if (!given.registries.empty()) engine.registries = given.registries;
  return engine;
}

// What config.yml, project.yml and TRIVET_RUNTIME say. Of trivet's own isolations that is only the
// default: what an image is made for is stronger.
Result<std::shared_ptr<Backend>> open_configured(const RuntimeOptions& options) {
  const Configuration configuration = TRY(Configuration::load());
  const Settings& settings = configuration.settings();
  if (settings.runtime == "null") return open_null(options);
  return backend::open_trivet(
      configured_engine(options.engine, settings),
      {.default_runtime = settings.runtime, .experimental = settings.experimental});
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
  if (options.runtime.empty()) return Runtime(TRY(open_configured(options)));
  const auto* known = std::ranges::find_if(kKnown, [&](const Known& entry) {
    return entry.name == options.runtime || entry.alias == options.runtime;
  });
  if (known != kKnown.end()) return Runtime(TRY(known->open(options)));
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("unknown runtime \"{}\"", options.runtime))
          .hint(fmt::format("known runtimes are {}", known_names())));
}

}  // namespace trivet
