#include "monitor/log_file.h"

#include <array>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"

namespace trivet::monitor {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class LogFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::array<char, 32> name{"/tmp/trivet-log-test-XXXXXX"};
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name.data();
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, directory_); }

  LogWriter writer(uint64_t max_size = 0, int max_files = 1) {
    return LogWriter::open(directory_, {.max_size = max_size, .max_files = max_files}).value();
  }
  std::vector<LogLine> read(const LogQuery& query = {}) {
    std::vector<LogLine> lines;
    EXPECT_TRUE(read_logs(directory_, query, [&](const LogLine& line) { lines.push_back(line); }));
    return lines;
  }
  std::vector<std::string> texts(const LogQuery& query = {}) {
    std::vector<std::string> result;
    for (const LogLine& line : read(query)) result.push_back(line.text);
    return result;
  }

  std::string directory_;
  Timestamp now_ = parse_timestamp("2026-01-02T03:04:05.000000006Z").value();
};

TEST_F(LogFiles, WritesTheCriForm) {
  LogWriter log = writer();
  ASSERT_TRUE(log.append(Stream::kStdout, "one\ntwo\nthr", now_));
  ASSERT_TRUE(log.append(Stream::kStderr, "oops\n", now_));
  EXPECT_EQ(read_file(directory_ + "/log").value(),
            "2026-01-02T03:04:05.000000006Z stdout F one\n"
            "2026-01-02T03:04:05.000000006Z stdout F two\n"
            "2026-01-02T03:04:05.000000006Z stdout P thr\n"
            "2026-01-02T03:04:05.000000006Z stderr F oops\n");
}

TEST_F(LogFiles, JoinsPartialLinesOfEachStream) {
  LogWriter log = writer();
  ASSERT_TRUE(log.append(Stream::kStdout, "a", now_));
  ASSERT_TRUE(log.append(Stream::kStderr, "x", now_));
  ASSERT_TRUE(log.append(Stream::kStdout, "b\nc", now_));
  ASSERT_TRUE(log.append(Stream::kStderr, "y\n", now_));
  const auto lines = read();
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(lines[0].text, "ab");
  EXPECT_EQ(lines[0].time, now_);
  EXPECT_EQ(lines[1].text, "xy");
  EXPECT_EQ(lines[1].stream, Stream::kStderr);
  EXPECT_EQ(lines[2].text, "c");
  EXPECT_TRUE(lines[2].partial);
}

TEST_F(LogFiles, SplitsLongLinesAndKeepsAnyBytes) {
  LogWriter log = writer();
  std::string data(2 * kMaxRecordText + 5, 'x');
  for (size_t i = 0; i < data.size(); ++i) {
    data[i] = static_cast<char>(i % 256 == '\n' ? 0 : i % 256);
  }
  ASSERT_TRUE(log.append(Stream::kStdout, data + "\n\n", now_));
  EXPECT_THAT(texts(), ElementsAre(data, ""));
  // Exactly full records need no empty one behind them.
  const std::string full(kMaxRecordText, 'y');
  ASSERT_TRUE(log.append(Stream::kStdout, full + "\n", now_));
  EXPECT_THAT(texts(), ElementsAre(data, "", full));
}

TEST_F(LogFiles, GivesOutWhatCantBeJoined) {
  LogWriter log = writer();
  const std::string block(1 << 20, 'z');
  ASSERT_TRUE(log.append(Stream::kStdout, block + "tail\n", now_));
  const auto lines = read();
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_TRUE(lines[0].partial);
  EXPECT_EQ(lines[0].text + lines[1].text, block + "tail");
}

TEST_F(LogFiles, RotatesBetweenRecordsAndKeepsNFiles) {
  LogWriter log = writer(200, 3);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(log.append(Stream::kStdout, fmt::format("line {}\nmore {}\n", i, i), now_));
  }
  EXPECT_TRUE(exists(directory_ + "/log"));
  EXPECT_TRUE(exists(directory_ + "/log.2"));
  EXPECT_FALSE(exists(directory_ + "/log.3"));
  EXPECT_LE(read_file(directory_ + "/log.1")->size(), 200U);
  const auto kept = texts();
  EXPECT_EQ(kept.back(), "more 99");
  for (size_t i = 1; i < kept.size(); ++i) {  // no gap between the files
    EXPECT_EQ(kept[i].substr(5) == kept[i - 1].substr(5), kept[i].starts_with("more"));
  }
}

TEST_F(LogFiles, GoesOnWithAnExistingLog) {
  ASSERT_TRUE(writer().append(Stream::kStdout, "before\n", now_));
  ASSERT_TRUE(writer().append(Stream::kStdout, "after\n", now_));
  EXPECT_THAT(texts(), ElementsAre("before", "after"));
}

TEST_F(LogFiles, TailCountsLinesAcrossFiles) {
  LogWriter log = writer(300, 5);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(log.append(Stream::kStdout, fmt::format("{}", i), now_));
    ASSERT_TRUE(log.append(Stream::kStdout, ".\n", now_));
  }
  const auto all = texts();
  ASSERT_GT(all.size(), 6U);
  EXPECT_EQ(all.back(), "19.");
  for (uint64_t tail = 0; tail <= all.size() + 2; ++tail) {
    const auto last = texts({.tail = tail});
    const size_t wanted = std::min<size_t>(tail, all.size());
    EXPECT_EQ(last, std::vector<std::string>(all.end() - static_cast<ptrdiff_t>(wanted), all.end()))
        << tail;
  }
}

TEST_F(LogFiles, SinceAndUntil) {
  LogWriter log = writer();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(
        log.append(Stream::kStdout, fmt::format("{}\n", i), now_ + std::chrono::seconds(i)));
  }
  EXPECT_THAT(
      texts({.since = now_ + std::chrono::seconds(1), .until = now_ + std::chrono::seconds(3)}),
      ElementsAre("1", "2", "3"));
}

TEST_F(LogFiles, SkipsTornRecordsAndMissingLogs) {
  ASSERT_TRUE(writer().append(Stream::kStdout, "good\n", now_));
  const auto fd = open_file(directory_ + "/log", O_WRONLY | O_APPEND);
  ASSERT_TRUE(write_all(fd->get(), "2026-01-02T03:0\ngarbage\n\n2026", "log"));
  EXPECT_THAT(texts(), ElementsAre("good"));
  EXPECT_TRUE(read_logs(directory_ + "/missing", {}, [](const LogLine&) { FAIL(); }));
}

// The reader lags behind the writer, so that it comes upon a rotation at each of its moments.
TEST_F(LogFiles, FollowsAcrossRotationsUntilTheEnd) {
  LogWriter log = writer(300, 200);
  ASSERT_TRUE(log.append(Stream::kStdout, "0\n", now_));
  const UniqueFd end(eventfd(0, EFD_CLOEXEC));
  constexpr int kLines = 1000;
  std::vector<std::string> seen;
  std::jthread reader([&] {
    EXPECT_TRUE(
        read_logs(directory_, {.follow = true, .end_fd = end.get()}, [&](const LogLine& line) {
          seen.push_back(line.text);
          if (seen.size() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        }));
  });
  for (int i = 1; i < kLines; ++i) {
    ASSERT_TRUE(log.append(Stream::kStdout, fmt::format("{}\n", i), now_));
  }
  const uint64_t one = 1;
  ASSERT_EQ(write(end.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
  reader.join();
  ASSERT_THAT(seen, SizeIs(kLines));
  for (int i = 0; i < kLines; ++i) EXPECT_EQ(seen[static_cast<size_t>(i)], fmt::format("{}", i));
}

TEST_F(LogFiles, IsReadWholeWhileItRotates) {
  LogWriter log = writer(300, 500);
  constexpr int kBefore = 100;
  for (int i = 0; i < kBefore; ++i) {
    ASSERT_TRUE(log.append(Stream::kStdout, fmt::format("{}\n", i), now_));
  }
  std::jthread rotating([&](const std::stop_token& stop) {
    for (int i = kBefore; i < 2000 && !stop.stop_requested(); ++i) {
      ASSERT_TRUE(log.append(Stream::kStdout, fmt::format("{}\n", i), now_));
    }
  });
  for (int round = 0; round < 30; ++round) {
    const auto all = texts();
    ASSERT_GE(all.size(), kBefore);
    for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], fmt::format("{}", i));
    const auto last = texts({.tail = 30});  // and what is written meanwhile
    ASSERT_GE(last.size(), 30);
    for (size_t i = 1; i < last.size(); ++i) {
      ASSERT_EQ(std::stoi(last[i]), std::stoi(last[i - 1]) + 1);
    }
  }
}

TEST_F(LogFiles, FollowingEndsOnRequest) {
  LogWriter log = writer();
  ASSERT_TRUE(log.append(Stream::kStdout, "one\n", now_));
  const UniqueFd end(eventfd(0, EFD_CLOEXEC));
  std::stop_source source;
  std::vector<std::string> seen;
  EXPECT_TRUE(read_logs(directory_,
                        {.follow = true, .end_fd = end.get(), .stop = source.get_token()},
                        [&](const LogLine& line) {
                          seen.push_back(line.text);
                          source.request_stop();
                        }));
  EXPECT_THAT(seen, ElementsAre("one"));
}

}  // namespace
}  // namespace trivet::monitor
