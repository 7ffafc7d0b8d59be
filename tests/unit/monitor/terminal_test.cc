#include "monitor/terminal.h"

#include <fcntl.h>
#include <pty.h>

#include <gtest/gtest.h>

namespace trivet::monitor {
namespace {

TEST(DetachKeys, Parse) {
  EXPECT_EQ(parse_detach_keys("ctrl-p,ctrl-q").value(), "\x10\x11");
  EXPECT_EQ(parse_detach_keys("a,ctrl-@,ctrl-],~").value(), std::string("a\0\x1d~", 4));
  EXPECT_EQ(parse_detach_keys("").value(), "");
  for (const char* text : {"ctrl-", "ctrl-p,", "ctrl-P", "ctrl-1", "ab", "ctrl-pp", ","}) {
    EXPECT_FALSE(parse_detach_keys(text)) << text;
  }
}

struct Fed {
  std::string forward;
  bool detached = false;
};
Fed feed(DetachScanner& scanner, std::string_view typed) {
  auto result = scanner.feed(typed);
  return {result.forward, result.detached};
}

TEST(DetachScanner, FindsTheKeysAcrossReads) {
  DetachScanner scanner("\x10\x11");
  EXPECT_EQ(feed(scanner, "ab\x10").forward, "ab");
  EXPECT_EQ(feed(scanner, "c").forward,
            "\x10"
            "c");
  EXPECT_EQ(feed(scanner, "\x10\x10").forward, "\x10");
  const Fed last = feed(scanner, "\x11rest");
  EXPECT_TRUE(last.detached);
  EXPECT_EQ(last.forward, "");
}

TEST(DetachScanner, FallsBackToTheLongestBeginning) {
  DetachScanner scanner("aab");
  const Fed fed = feed(scanner, "xaaab");
  EXPECT_TRUE(fed.detached);
  EXPECT_EQ(fed.forward, "xa");
  DetachScanner other("abac");
  EXPECT_EQ(feed(other, "abab").forward, "ab");
  EXPECT_TRUE(feed(other, "ac").detached);
}

TEST(DetachScanner, WithoutKeysForwardsEverything) {
  DetachScanner scanner("");
  EXPECT_EQ(feed(scanner, "\x10\x11").forward, "\x10\x11");
}

TEST(RawTerminal, RestoresTheModes) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  const UniqueFd master_fd(master);
  const UniqueFd slave_fd(slave);
  termios before{};
  tcgetattr(slave, &before);
  {
    auto raw = RawTerminal::enter(slave);
    ASSERT_TRUE(raw);
    termios now{};
    tcgetattr(slave, &now);
    EXPECT_EQ(now.c_lflag & (ICANON | ECHO | ISIG), 0U);
    const RawTerminal moved = std::move(*raw);
  }
  termios after{};
  tcgetattr(slave, &after);
  EXPECT_EQ(after.c_lflag, before.c_lflag);
  ASSERT_TRUE(set_terminal_size(master, {.rows = 33, .columns = 77}));
  EXPECT_EQ(terminal_size(slave), (WindowSize{.rows = 33, .columns = 77}));
  const auto null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  EXPECT_FALSE(RawTerminal::enter(null));
  EXPECT_FALSE(terminal_size(null));
  close(null);
}

}  // namespace
}  // namespace trivet::monitor
