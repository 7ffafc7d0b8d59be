#include "base/printable.h"

#include <gtest/gtest.h>

namespace trivet {
namespace {

TEST(Printable, HasNothingThatATerminalTakesForACommand) {
  EXPECT_EQ(printable("a\x1b[2Jb\x7f"), "a\\x1b[2Jb\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "2J"),
            "\\xc2\\x9b2J");
}

TEST(Printable, IsOneLine) {
  EXPECT_EQ(printable("a\nb\rc"), "a b\\x0dc");
}

TEST(Printable, LeavesTextAlone) {
  EXPECT_EQ(printable("naïve £ \xc2"), "naïve £ \xc2");
  EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace trivet
