#include "linux/network_namespace.h"

#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fs.h"
#include "linux/network_visit.h"

namespace trivet {
namespace {

ino_t inode_of(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

ino_t own_network() {
  const auto fd = open_file("/proc/thread-self/ns/net", O_RDONLY);
  return fd ? inode_of(fd->get()) : 0;
}

class NetworkNamespaceTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root comes back from a new network namespace";
  }
};

TEST_F(NetworkNamespaceTest, IsNewAndNobodyIsInIt) {
  const ino_t before = own_network();
  const auto first = make_network_namespace();
  const auto second = make_network_namespace();
  ASSERT_TRUE(first) << first.error().message();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_NE(inode_of(first->get()), before);
  EXPECT_NE(inode_of(first->get()), inode_of(second->get()));
  EXPECT_EQ(own_network(), before);
}

TEST_F(NetworkNamespaceTest, CanBeJoined) {
  const auto made = make_network_namespace();
  ASSERT_TRUE(made) << made.error().message();
  const ino_t before = own_network();
  {
    const auto visit = NetworkVisit::begin(made->get());
    ASSERT_TRUE(visit) << visit.error().message();
    EXPECT_EQ(own_network(), inode_of(made->get()));
  }
  EXPECT_EQ(own_network(), before);
}

TEST_F(NetworkNamespaceTest, IsClosedOnExec) {
  const auto made = make_network_namespace();
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_NE(fcntl(made->get(), F_GETFD) & FD_CLOEXEC, 0);
}

}  // namespace
}  // namespace trivet
