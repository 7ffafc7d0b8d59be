// What trivet-wasm is told by whoever starts it, and the words and numbers both sides share.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::payload::wasm {

// The environment variable that holds a job; the program does not see it.
inline constexpr const char* kJobVariable = "TRIVET_WASM_JOB";

inline constexpr uint64_t kPageBytes = uint64_t{64} << 10;
inline constexpr uint64_t kMaxPages = 65536;

// Exit codes of a container whose program did not end by itself. They are those which a native
// program gets from the kernel, the shell or timeout(1) in the same case.
inline constexpr int kExitTimeout = 124;
inline constexpr int kExitNotExecutable = 126;  // not Wasm, not valid, or its imports are unknown
inline constexpr int kExitTrap = 134;           // 128 + SIGABRT
inline constexpr int kExitOutOfMemory = 137;    // as when the kernel's OOM killer ends it
inline constexpr int kExitOutOfFuel = 152;      // 128 + SIGXCPU

struct Limits {
  std::optional<uint64_t> fuel;  // nothing: not counted, which makes the program faster
  uint64_t memory_bytes = kMaxPages * kPageBytes;
  std::chrono::milliseconds timeout{0};  // 0: none
};

struct Job {
  std::string code;         // the compiled module's file …
  int code_directory = -1;  // … in the directory of this descriptor
  int report = -1;          // see report.h; -1: nobody wants one
  bool component = false;
  bool read_only = false;  // the module can't write to files
  std::string invoke;      // the exported function; empty: the program's start
  Limits limits;
};

// One line of JSON.
[[nodiscard]] std::string print_job(const Job& job);
// kInvalidArgument: not what print_job() writes.
Result<Job> parse_job(std::string_view text);

}  // namespace trivet::payload::wasm
