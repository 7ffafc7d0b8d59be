// What another program is given.
#include <array>
#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/process.h"

namespace trivet {
namespace {

// A process that embeds trivet may have descriptors that are not close-on-exec.
TEST(SpawnProgram, GivesItsDescriptorsAndNoOthers) {
  std::array<int, 2> pipes{-1, -1};
  ASSERT_EQ(pipe2(pipes.data(), 0), 0);
  const auto listed = run_program({"ls", "/proc/self/fd"});
  close(pipes[0]);
  close(pipes[1]);
  ASSERT_TRUE(listed) << listed.error().message();
  EXPECT_EQ(listed->stdout_text, "0\n1\n2\n3\n") << "3 is the directory that ls reads";
}

}  // namespace
}  // namespace trivet
