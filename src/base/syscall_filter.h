// Seccomp filters that are put together without a library, in microseconds, for programs that limit
// themselves at every start.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include <linux/filter.h>

namespace trivet {

class SyscallFilter {
 public:
  SyscallFilter();

  void allow(std::span<const uint32_t> calls);
  // When none of `bits` is set in the argument's lower half.
  void allow_without(uint32_t call, unsigned argument, uint32_t bits);
  // When all of `bits` are set.
  void allow_with(uint32_t call, unsigned argument, uint32_t bits);
  // When the argument is one of the values.
  void allow_values(uint32_t call, unsigned argument, std::span<const uint32_t> values);
  void refuse(uint32_t call, uint16_t error);

  // What no rule is about: it fails with EPERM, or is allowed.
  enum class Others { kRefuse, kAllow };
  // For all threads of the process, with no_new_privs.
  Result<> install(Others others = Others::kRefuse);

 private:
  void add(int code, uint32_t k, uint8_t if_true, uint8_t if_false);
  void load(size_t offset);
  void load_argument(unsigned index);

  std::vector<sock_filter> code_;
};

}  // namespace trivet
