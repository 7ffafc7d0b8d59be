// The page of memory in which whoever started us reads what became of the run.
#pragma once

#include <string_view>

#include "payload/microvm/job.h"

namespace trivet::vmm {

class ReportWriter {
 public:
  // -1: nobody wants one, and what is written goes nowhere.
  explicit ReportWriter(int fd);
  ReportWriter(const ReportWriter&) = delete;
  ReportWriter& operator=(const ReportWriter&) = delete;
  ~ReportWriter();

  payload::microvm::ReportPage& page() { return *page_; }
  void set_kernel(std::string_view name);
  void set_message(std::string_view message);

 private:
  payload::microvm::ReportPage nowhere_{};
  payload::microvm::ReportPage* page_ = &nowhere_;
};

}  // namespace trivet::vmm
