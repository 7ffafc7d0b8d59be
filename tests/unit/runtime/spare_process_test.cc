#include "runtime/spare_process.h"

#include <thread>

#include <gtest/gtest.h>

namespace trivet {
namespace {

// One test: what has had threads is not the same again.
TEST(SpareProcess, IsForOneAndOfOneThread) {
  const auto made = SpareProcess::make();
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_TRUE(runtime::take_spare(**made));
  EXPECT_FALSE(runtime::take_spare(**made));

  std::jthread other([] {});
  const auto refused = SpareProcess::make();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kWrongState);
}

}  // namespace
}  // namespace trivet
