// The limits of a Wasm container, from its annotations and its cgroup.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "payload/wasm/job.h"

namespace trivet::payload::wasm {

// dev.trivet.wasm.fuel ("off" or a number), .memory-pages, .timeout ("90s") and .invoke. An
// annotation below dev.trivet.wasm that is none of them is kInvalidArgument, as is a bad value.
inline constexpr const char* kFuelAnnotation = "dev.trivet.wasm.fuel";
inline constexpr const char* kPagesAnnotation = "dev.trivet.wasm.memory-pages";
inline constexpr const char* kTimeoutAnnotation = "dev.trivet.wasm.timeout";
inline constexpr const char* kInvokeAnnotation = "dev.trivet.wasm.invoke";

struct Settings {
  Limits limits;
  std::string invoke;
};

// `cgroup_memory` is the container's memory limit in bytes, if it has one: the linear memory has to
// leave room in it for the host.
Result<Settings> plan_settings(const std::map<std::string, std::string>& annotations,
                               std::optional<int64_t> cgroup_memory);

}  // namespace trivet::payload::wasm
