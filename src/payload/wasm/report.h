// What a Wasm program used, in a page of memory that trivet-wasm writes and whoever started it
// reads, also after its end. What is read is only as honest as the program's confinement, so
// read_report() takes nothing on trust.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::payload::wasm {

enum class Outcome : uint32_t {
  kRunning,
  kExited,
  kTrap,
  kOutOfFuel,
  kOutOfMemory,
  kTimeout,
  kSignal
};
[[nodiscard]] const char* outcome_name(Outcome outcome);  // "out of fuel"

struct ReportPage {
  uint32_t magic;
  Outcome outcome;
  uint64_t fuel_used;     // known at the end
  uint64_t memory_bytes;  // of linear memory, at the end
  uint32_t message_size;
  char message[1024];
};
inline constexpr uint32_t kReportMagic = 0x74775250;

struct Report {
  Outcome outcome = Outcome::kRunning;
  uint64_t fuel_used = 0;
  uint64_t memory_bytes = 0;
  std::string message;  // why the program was ended; one line
};

// A descriptor of memory of exactly one page, which can't change its size.
Result<UniqueFd> make_report();
// kCorrupt: not what trivet-wasm writes.
Result<Report> read_report(int fd);

}  // namespace trivet::payload::wasm
