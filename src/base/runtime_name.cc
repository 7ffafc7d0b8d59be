#include "base/runtime_name.h"

#include <array>

#include "base/text.h"

namespace trivet {

namespace {

struct Known {
  const char* name;
  const char* meaning;
};

constexpr auto kNames = std::to_array<Known>({{"native", "native"},
                                              {"microvm", "microvm"},
                                              {"wasm", "wasm"},
                                              {"null", "null"},
                                              {"crun", "native"},
                                              {"krun", "microvm"}});

}  // namespace

std::vector<std::string> runtime_names() {
  std::vector<std::string> names;
  for (const Known& known : kNames) names.emplace_back(known.name);
  return names;
}

Result<std::string> parse_runtime_name(std::string_view name, std::string_view where) {
  for (const Known& known : kNames) {
    if (name == known.name) return known.meaning;
  }
  const std::string nearest = nearest_name(name, runtime_names());
  std::string hint = fmt::format("known are {}", join(runtime_names(), ", "));
  if (!nearest.empty()) hint = fmt::format("did you mean \"{}\"? {}", nearest, hint);
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("{}: unknown runtime \"{}\"", where, name))
          .hint(std::move(hint)));
}

Error null_runtime_error(std::string_view where) {
  return Error(ErrorCode::kUnsupported, fmt::format("{}: the runtime null runs nothing", where))
      .hint("it is for tests of programs that embed the library; use native, microvm or wasm");
}

}  // namespace trivet
