#include "cli/gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::cli {
namespace {

using testing::ElementsAre;

TEST(GpusTest, DockersSpellings) {
  EXPECT_THAT(*parse_gpus("all"), ElementsAre("nvidia.com/gpu=all"));
  EXPECT_THAT(*parse_gpus("-1"), ElementsAre("nvidia.com/gpu=all"));
  EXPECT_THAT(*parse_gpus("2"), ElementsAre("nvidia.com/gpu=0", "nvidia.com/gpu=1"));
  EXPECT_THAT(*parse_gpus("count=1,driver=nvidia"), ElementsAre("nvidia.com/gpu=0"));
  EXPECT_THAT(*parse_gpus("device=GPU-1"), ElementsAre("nvidia.com/gpu=GPU-1"));
  EXPECT_THAT(*parse_gpus("\"device=0,2\""), ElementsAre("nvidia.com/gpu=0", "nvidia.com/gpu=2"));
}

TEST(GpusTest, EverythingElseIsRefusedWithAHint) {
  for (const char* bad :
       {"", "0", "-2", "some", "1.5", "99999", "2,device=0", "capabilities=utility",
        "driver=nvidia", "count=", "driver=amd,count=1"}) {
    const auto result = parse_gpus(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument) << bad;
    EXPECT_FALSE(result.error().hint_text().empty()) << bad;
  }
}

}  // namespace
}  // namespace trivet::cli
