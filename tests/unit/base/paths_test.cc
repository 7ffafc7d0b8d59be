#include "base/paths.h"

#include <cstdlib>
#include <fstream>
#include <sys/stat.h>

#include <gtest/gtest.h>

namespace trivet {
namespace {

class Companions : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    std::ofstream(program()) << "#!/bin/sh\n";
  }
  void TearDown() override {
    (void)unsetenv("TRIVET_LIBEXEC_DIR");  // NOLINT(concurrency-mt-unsafe)
    (void)remove(program().c_str());
    (void)remove(directory_.c_str());
  }
  [[nodiscard]] std::string program() const { return directory_ + "/trivet-companion"; }
  void choose() const {
    (void)setenv("TRIVET_LIBEXEC_DIR", directory_.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
  }

  std::string directory_ = "/tmp/trivet-paths-XXXXXX";
};

TEST_F(Companions, AreInTheDirectoryOfTheVariable) {
  (void)chmod(program().c_str(), 0755);
  EXPECT_EQ(find_companion("trivet-companion"), "");
  choose();
  EXPECT_EQ(find_companion("trivet-companion"), program());
}

TEST_F(Companions, AreNowhereElseThen) {
  EXPECT_NE(find_companion("test_base"), "");
  choose();
  EXPECT_EQ(find_companion("test_base"), "");
}

TEST_F(Companions, CanBeExecuted) {
  choose();
  (void)chmod(program().c_str(), 0644);
  EXPECT_EQ(find_companion("trivet-companion"), "");
}

}  // namespace
}  // namespace trivet
