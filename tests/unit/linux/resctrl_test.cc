// On plain directories: what is made, written and removed; the kernel's part is its file system.
#include "linux/resctrl.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/fs.h"

namespace trivet::resctrl {
namespace {

namespace fs = std::filesystem;

class Resctrl : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) / "resctrl";
    fs::remove_all(root_);
    add_group(root_);
  }
  static void add_group(const fs::path& path) {
    fs::create_directories(path / "mon_groups");
    for (const char* file : {"schemata", "tasks"}) std::ofstream(path / file) << "";
  }
  static std::string text_of(const fs::path& path) { return read_file(path.string()).value(); }

  fs::path root_;
};

TEST_F(Resctrl, AnExistingGroupIsUsedAndStays) {
  add_group(root_ / "class");
  std::ofstream(root_ / "class/schemata") << "    L3:0=f\n";
  const auto groups =
      make_groups(root_, {.clos_id = "class", .l3_cache_schema = "L3:0=f"}, "id").value();
  EXPECT_TRUE(groups.owned.empty());
  ASSERT_TRUE(add_process(groups, 42));
  EXPECT_EQ(text_of(root_ / "class/tasks"), "42\n");
  ASSERT_TRUE(remove_groups(groups.owned));
  EXPECT_TRUE(fs::exists(root_ / "class"));
}

TEST_F(Resctrl, AnExistingGroupWithOtherSchemataIsAnError) {
  add_group(root_ / "class");
  std::ofstream(root_ / "class/schemata") << "L3:0=f\n";
  const auto groups = make_groups(root_, {.clos_id = "class", .l3_cache_schema = "L3:0=1"}, "id");
  ASSERT_FALSE(groups);
  EXPECT_EQ(groups.error().code(), ErrorCode::kWrongState);
  EXPECT_EQ(text_of(root_ / "class/schemata"), "L3:0=f\n");
}

TEST_F(Resctrl, ANewGroupThatCanNotBeWrittenIsTakenAway) {
  // A real resctrl directory comes with its files; this one does not.
  EXPECT_FALSE(make_groups(root_, {.schemata = {"L3:0=f"}}, "id"));
  EXPECT_FALSE(fs::exists(root_ / "id"));
}

TEST_F(Resctrl, AnUpdateIsWrittenToTheGroupOfTheContainer) {
  add_group(root_ / "id");
  add_group(root_ / "class");
  ASSERT_TRUE(update_schemata(root_, {.l3_cache_schema = "L3:0=3"}, "id"));
  ASSERT_TRUE(update_schemata(root_, {.clos_id = "class", .mem_bw_schema = "MB:0=20"}, "id"));
  EXPECT_EQ(text_of(root_ / "id/schemata"), "L3:0=3\n");
  EXPECT_EQ(text_of(root_ / "class/schemata"), "MB:0=20\n");
}

TEST_F(Resctrl, MonitoringMakesAGroupBelow) {
  const auto groups = make_groups(root_, {.clos_id = "/", .enable_monitoring = true}, "id").value();
  EXPECT_EQ(groups.owned, (std::vector<std::string>{root_ / "mon_groups/id"}));
  ASSERT_TRUE(remove_groups(groups.owned));
  EXPECT_FALSE(fs::exists(root_ / "mon_groups/id"));
}

}  // namespace
}  // namespace trivet::resctrl
