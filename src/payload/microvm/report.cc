#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/printable.h"
#include "payload/microvm/job.h"

namespace trivet::payload::microvm {

namespace {

constexpr off_t kPage = 4096;
static_assert(sizeof(ReportPage) <= kPage);

}  // namespace

Result<UniqueFd> make_report() {
  UniqueFd fd(memfd_create("trivet-vmm-report", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ftruncate(fd.get(), kPage) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
    return fail_errno("make the microVM's report");
  }
  return fd;
}

Result<Report> read_report(int fd) {
  ReportPage page{};
  if (pread(fd, &page, sizeof page, 0) != sizeof page)
    return fail_errno("read the microVM's report");
  if (page.magic == 0) return Report{};
  if (page.magic != kReportMagic) {
    return fail(ErrorCode::kCorrupt, "the microVM's report is malformed");
  }
  const size_t size = std::min<size_t>(page.message_size, sizeof page.message);
  return Report{.from_template = page.from_template != 0,
                .oom_killed = page.oom_killed != 0,
                .lost = page.lost != 0,
                .boot_us = page.boot_us,
                .create_us = page.create_us,
                .kernel = printable({page.kernel, strnlen(page.kernel, sizeof page.kernel)}),
                .message = printable({page.message, size})};
}

}  // namespace trivet::payload::microvm
