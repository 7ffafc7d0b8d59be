#include "linux/id_map.h"

#include <gtest/gtest.h>

namespace trivet {
namespace {

TEST(MapWithSubordinatesTest, TheUsersOwnIdIsRoot) {
  EXPECT_EQ(map_with_subordinates("", "ann", 1000), "0 1000 1\n");
  EXPECT_TRUE(maps_one_id(map_with_subordinates("bob:100000:65536\n", "ann", 1000)));
}

TEST(MapWithSubordinatesTest, TakesAllRangesByNameAndById) {
  const char* text = "bob:1:1\nann:100000:65536\n1000:300000:10\n";
  const std::string map = map_with_subordinates(text, "ann", 1000);
  EXPECT_EQ(map, "0 1000 1\n1 100000 65536\n65537 300000 10\n");
  EXPECT_FALSE(maps_one_id(map));
}

TEST(MapWithSubordinatesTest, PassesOverWhatIsMalformed) {
  for (const char* line :
       {"ann", "ann:", "ann:1", "ann:x:5", "ann:5:x", "ann:0:5", "ann:5:0", "ann:-1:5", "ann:1:2:3",
        "ann:4294967295:5", "ann:5:4294967295", "ann:99999999999:1"}) {
    EXPECT_EQ(map_with_subordinates(std::string(line) + "\n", "ann", 1000), "0 1000 1\n") << line;
  }
}

TEST(MapWithSubordinatesTest, StopsAtTheKernelsNumberOfLines) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "ann:100000:1\n";
  const std::string map = map_with_subordinates(text, "ann", 1000);
  EXPECT_EQ(std::count(map.begin(), map.end(), '\n'), 340);
}

}  // namespace
}  // namespace trivet
