// What trivet-wasm and its callers tell each other: the job, the record of compiled code, the
// report page, and the annotations that set limits. What parses must print to something that parses
// to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <unistd.h>

#include "payload/wasm/cache.h"
#include "payload/wasm/job.h"
#include "payload/wasm/limits.h"
#include "payload/wasm/report.h"

namespace wasm = trivet::payload::wasm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto job = wasm::parse_job(text)) {
    const std::string printed = wasm::print_job(*job);
    const auto again = wasm::parse_job(printed);
    if (!again || wasm::print_job(*again) != printed) std::abort();
  }
  if (const auto record = wasm::parse_cache_record(text)) {
    const std::string printed = wasm::print_cache_record(*record);
    const auto again = wasm::parse_cache_record(printed);
    if (!again || wasm::print_cache_record(*again) != printed) std::abort();
    if (record->code.find('/') != std::string::npos) std::abort();
  }
  static const auto kReport = wasm::make_report();
  if (kReport && pwrite(kReport->get(), data, size < 4096 ? size : 4096, 0) >= 0) {
    if (const auto report = wasm::read_report(kReport->get());
        report && report->message.find('\n') != std::string::npos) {
      std::abort();
    }
  }
  const std::string value(text);
  for (const char* key :
       {wasm::kFuelAnnotation, wasm::kPagesAnnotation, wasm::kTimeoutAnnotation}) {
    const auto settings = wasm::plan_settings({{key, value}}, int64_t{64} << 20);
    if (settings && settings->limits.memory_bytes > (uint64_t{64} << 20)) std::abort();
  }
  return 0;
}
