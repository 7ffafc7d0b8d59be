#include "payload/wasm/report.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace trivet::payload::wasm {

namespace {
constexpr off_t kPage = 4096;
static_assert(sizeof(ReportPage) <= kPage);
}  // namespace

const char* outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kRunning:
      return "running";
    case Outcome::kExited:
      return "exited";
    case Outcome::kTrap:
      return "trap";
    case Outcome::kOutOfFuel:
      return "out of fuel";
    case Outcome::kOutOfMemory:
      return "out of memory";
    case Outcome::kTimeout:
      return "timeout";
    case Outcome::kSignal:
      return "signal";
  }
  return "unknown";
}

Result<UniqueFd> make_report() {
  UniqueFd fd(memfd_create("trivet-wasm-report", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ftruncate(fd.get(), kPage) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return fail_errno("make the Wasm report");
  }
  return fd;
}

Result<Report> read_report(int fd) {
  ReportPage page{};
  if (pread(fd, &page, sizeof page, 0) != sizeof page) return fail_errno("read the Wasm report");
  if (page.magic == 0) return Report{};
  if (page.magic != kReportMagic || page.outcome > Outcome::kSignal) {
    return fail(ErrorCode::kCorrupt, "the Wasm report is malformed");
  }
  Report report{.outcome = page.outcome,
                .fuel_used = page.fuel_used,
                .memory_bytes = page.memory_bytes,
                .message = {}};
  const size_t size = std::min<size_t>(page.message_size, sizeof page.message);
  for (const char c : std::string_view(page.message, size)) {
    report.message += static_cast<unsigned char>(c) < ' ' || c == 0x7F ? ' ' : c;
  }
  return report;
}

}  // namespace trivet::payload::wasm
