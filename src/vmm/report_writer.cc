#include "vmm/report_writer.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

namespace trivet::vmm {

using payload::microvm::ReportPage;

ReportWriter::ReportWriter(int fd) {
  if (fd >= 0) {
    void* memory = mmap(nullptr, sizeof(ReportPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED) page_ = static_cast<ReportPage*>(memory);
  }
  page_->magic = payload::microvm::kReportMagic;
}

ReportWriter::~ReportWriter() {
  if (page_ != &nowhere_) munmap(page_, sizeof(ReportPage));
}

void ReportWriter::set_kernel(std::string_view name) {
  const size_t size = std::min(name.size(), sizeof page_->kernel - 1);
  std::memcpy(page_->kernel, name.data(), size);
  page_->kernel[size] = '\0';
}

void ReportWriter::set_message(std::string_view message) {
  const size_t size = std::min(message.size(), sizeof page_->message);
  std::memcpy(page_->message, message.data(), size);
  page_->message_size = static_cast<uint32_t>(size);
}

}  // namespace trivet::vmm
