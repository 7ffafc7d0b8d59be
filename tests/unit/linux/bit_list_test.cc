#include "linux/bit_list.h"

#include <gtest/gtest.h>

namespace trivet {
namespace {

TEST(BitList, ReadsNumbersAndRanges) {
  EXPECT_EQ(parse_bit_list("0").value(), (std::vector<uint64_t>{1}));
  EXPECT_EQ(parse_bit_list("0-3,7").value(), (std::vector<uint64_t>{0x8f}));
  EXPECT_EQ(parse_bit_list("63-64").value(), (std::vector<uint64_t>{uint64_t{1} << 63U, 1}));
  EXPECT_EQ(parse_bit_list("1, 2").value(), (std::vector<uint64_t>{6}));
}

TEST(BitList, RefusesEverythingElse) {
  for (const char* text : {"", ",", "a", "3-1", "-1", "1-", "0-8192", "99999999999999999999"}) {
    EXPECT_FALSE(parse_bit_list(text)) << text;
  }
}

}  // namespace
}  // namespace trivet
