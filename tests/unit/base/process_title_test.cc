#include "base/process_title.h"

#include <cstdlib>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fs.h"

namespace trivet {
namespace {

// In a process of its own: this one keeps its words.
template <typename Check>
bool holds_in_a_copy(Check check) {
  const pid_t child = fork();
  if (child == 0) _exit(check() ? 0 : 1);
  int status = -1;
  return waitpid(child, &status, 0) == child && status == 0;
}

std::string shown(const char* file) {
  return read_file(std::string("/proc/self/") + file).value_or("");
}

TEST(ProcessTitle, IsWhatIsShown) {
  EXPECT_TRUE(holds_in_a_copy([] {
    return set_process_title("short-name", "a title --of words") &&
           shown("comm") == "short-name\n" && shown("cmdline").starts_with("a title --of words") &&
           shown("cmdline").find("test_base") == std::string::npos;
  }));
}

TEST(ProcessTitle, MayBeLongerThanTheCommandLineWas) {
  const std::string title(shown("cmdline").size() + 100, 'x');
  EXPECT_TRUE(holds_in_a_copy(
      [&] { return set_process_title("name", title) && shown("cmdline").starts_with(title); }));
}

TEST(ProcessTitle, IsCutOffWhereThereIsNoRoom) {
  const std::string title(1U << 20U, 'x');
  EXPECT_TRUE(holds_in_a_copy([&] {
    const auto set = set_process_title("a name of more than fifteen bytes", title);
    return set && shown("comm") == "a name of more \n" && shown("cmdline").starts_with("xxxx");
  }));
}

TEST(ProcessTitle, LeavesTheEnvironment) {
  setenv("TRIVET_TITLE_TEST", "value", 1);  // NOLINT(concurrency-mt-unsafe)
  const std::string path = getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  EXPECT_TRUE(holds_in_a_copy([&] {
    // NOLINTNEXTLINE(concurrency-mt-unsafe)
    return set_process_title("name", std::string(4096, 'x')) && getenv("PATH") == path &&
           getenv("TRIVET_TITLE_TEST") == std::string("value");
  }));
}

TEST(ProcessTitle, NeedsNoEnvironment) {
  EXPECT_TRUE(holds_in_a_copy([] {
    clearenv();  // NOLINT(concurrency-mt-unsafe)
    return set_process_title("name", "x") && shown("cmdline").starts_with(std::string("x\0\0", 3));
  }));
}

}  // namespace
}  // namespace trivet
