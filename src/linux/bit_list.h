// Lists of CPUs and memory nodes as the kernel writes them: "0-3,7" (cpuset(7), "List format").
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet {

// The words of a mask for sched_setaffinity(2) and set_mempolicy(2); bit 0 of word 0 is number 0.
// kInvalidArgument for anything else and for numbers from 8192 on (the kernel's CONFIG_NR_CPUS).
Result<std::vector<uint64_t>> parse_bit_list(std::string_view text);

// How many numbers are in it.
[[nodiscard]] uint64_t count_bits(const std::vector<uint64_t>& words);

}  // namespace trivet
