// Inside of module monitor: the parts of the log reader.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/log_file.h"

namespace trivet::monitor {

// Joins the records of each stream to lines.
class LineJoiner {
 public:
  using Sink = std::function<void(const LogLine&)>;
  explicit LineJoiner(Sink sink) : sink_(std::move(sink)) {}

  // A line of the log without its newline; malformed ones (a torn write of a full disk) are
  // skipped.
  void add(std::string_view line);
  // Hands out what has no line end.
  void finish();

 private:
  void emit(LogLine& line, bool partial);

  Sink sink_;
  LogLine pending_[2]{{.stream = Stream::kStdout}, {.stream = Stream::kStderr}};
};

// Reads one file of the log from where it was left to its present end, a whole record at a time.
class LogFile {
 public:
  // log (0) or log.N; that there is none stays recognisable by errnum().
  static Result<LogFile> open(int directory_fd, int number);

  // Reading is to start where the last `lines` lines begin; they are counted down by what is found
  // here. True when they all are here.
  Result<bool> skip_to_last(uint64_t& lines);
  Result<> read_on(const std::function<void(std::string_view)>& take);
  // The inode number, which stays the same under all names.
  [[nodiscard]] uint64_t inode() const { return inode_; }

 private:
  LogFile(UniqueFd fd, uint64_t inode) : fd_(std::move(fd)), inode_(inode) {}

  UniqueFd fd_;
  uint64_t inode_ = 0;
  uint64_t offset_ = 0;
  std::string rest_;  // the beginning of a record
};

// The files of the log, oldest first, each where reading is to start for the last `tail` lines (all
// without). They are open: a rotation does not matter any more.
Result<std::vector<LogFile>> open_logs(int directory_fd, std::optional<uint64_t> tail);

// Goes on after the newest file until `query.end_fd` or `query.stop` says so.
class LogFollower {
 public:
  LogFollower(int directory_fd, const LogQuery& query, std::function<void(std::string_view)> take)
      : directory_fd_(directory_fd), query_(query), take_(std::move(take)) {}
  Result<> run(LogFile current);

 private:
  Result<bool> advance(LogFile& current);
  Result<> catch_up(LogFile& current);
  Result<bool> wait(int inotify_fd, int stop_fd);

  int directory_fd_;
  const LogQuery& query_;
  std::function<void(std::string_view)> take_;
};

}  // namespace trivet::monitor
