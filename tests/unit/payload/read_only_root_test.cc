#include "payload/wasm/read_only_root.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"

namespace trivet::payload::wasm {
namespace {

using testing::ElementsAre;

class ReadOnlyRoot : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/trivet-root-test-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    base_ = name;
    for (const char* directory : {"layer", "upper"}) {
      std::filesystem::create_directory(base_ + "/" + directory);
    }
    std::ofstream(base_ + "/layer/hello.wasm") << "module";
    root_ = {.lower_directories = {base_ + "/layer"}, .upper_directory = base_ + "/upper"};
    spec_.root = oci::Root{.readonly = true};
    spec_.process = oci::Process{.cwd = "/"};
    spec_.linux_config = oci::Linux{};
    spec_.mounts = {{.destination = "/dev", .type = "tmpfs"},
                    {.destination = "/dev/shm", .type = "tmpfs"},
                    {.destination = "/etc/resolv.conf", .type = "bind", .source = "/x"}};
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, base_); }

  std::optional<container::OverlayRoot> plan() {
    auto planned = plan_read_only_root(root_, spec_, places());
    EXPECT_TRUE(planned) << planned.error().message();
    return planned ? *planned : std::nullopt;
  }
  [[nodiscard]] std::string places() const { return base_ + "/places"; }

  std::string base_;
  container::OverlayRoot root_;
  oci::Spec spec_;
};

TEST_F(ReadOnlyRoot, HasThePlacesBelowTheLayers) {
  const auto root = plan();
  ASSERT_TRUE(root);
  EXPECT_THAT(root->lower_directories, ElementsAre(base_ + "/layer", places()));
  EXPECT_TRUE(root->upper_directory.empty());
  EXPECT_TRUE(exists(places() + "/dev"));
  EXPECT_TRUE(exists(places() + "/etc/resolv.conf"));
  EXPECT_TRUE(plan()) << "they are made once";
  EXPECT_EQ(list_dir(AT_FDCWD, base_)->size(), 3U) << "and nothing is left of the making";
}

TEST_F(ReadOnlyRoot, KeepsWhatWasCopiedInBeforeTheStart) {
  std::ofstream(root_.upper_directory + "/data") << "x";
  EXPECT_THAT(plan()->lower_directories,
              ElementsAre(root_.upper_directory, base_ + "/layer", places()));
}

TEST_F(ReadOnlyRoot, IsForThoseThatDoNotWrite) {
  spec_.root->readonly = false;
  EXPECT_FALSE(plan());
}

TEST_F(ReadOnlyRoot, IsNotForOtherPlaces) {
  spec_.mounts.push_back({.destination = "/data", .type = "bind", .source = "/x"});
  EXPECT_FALSE(plan());
  spec_.mounts.pop_back();
  spec_.process->cwd = "/work";  // made when it is missing
  EXPECT_FALSE(plan());
}

TEST_F(ReadOnlyRoot, IsNotForALayerThatHasTheNamesItself) {
  std::filesystem::create_symlink("/usr/etc", base_ + "/layer/etc");
  EXPECT_FALSE(plan());
}

}  // namespace
}  // namespace trivet::payload::wasm
