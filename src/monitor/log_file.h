// The log of a container: what it wrote to stdout and stderr.
//
// DIRECTORY/log is being written; log.1, log.2, … are older. A record is a line in the CRI form,
//   2026-01-02T03:04:05.000000006Z stdout F text
// with a time of fixed length; F: a line ended here; P: it goes on in the next record of the same
// stream. Text is any bytes but newline. Lines over kMaxRecordText are split by P records, and what
// came without a line end is written at once, as P: a killed monitor loses nothing that it had
// read.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace trivet::monitor {

enum class Stream { kStdout, kStderr };

inline constexpr size_t kMaxRecordText = 16384;
inline constexpr size_t kTimeLength = 30;                  // "2026-01-02T03:04:05.000000006Z"
inline constexpr size_t kHeaderLength = kTimeLength + 10;  // " stdout F "

// The name of the file being written (0) or of an older one in the log's directory.
std::string log_name(int number);

struct LogLimits {
  uint64_t max_size = 0;  // bytes of one file; 0: no rotation
  int max_files = 1;      // including the one being written; at least 1
};

// Appends records; used by the one monitor. Rotation gives files new names: readers keep what they
// have open, and find each number up to the oldest file's at any time.
class LogWriter {
 public:
  // Makes the directory; goes on with an existing log.
  static Result<LogWriter> open(const std::string& directory, LogLimits limits);

  // Writes `data` as records with one time, in one write(2) unless the file is to be rotated on the
  // way: then between two records.
  Result<> append(Stream stream, std::string_view data, Timestamp now);

 private:
  LogWriter(UniqueFd directory, UniqueFd file, uint64_t size, LogLimits limits)
      : directory_(std::move(directory)), file_(std::move(file)), size_(size), limits_(limits) {}
  Result<> flush();
  Result<> rotate();
  Result<> replace(const std::string& name);

  UniqueFd directory_;
  UniqueFd file_;
  uint64_t size_ = 0;
  LogLimits limits_;
  std::string buffer_;
};

struct LogLine {
  Timestamp time;  // of its first record
  Stream stream = Stream::kStdout;
  std::string text;      // without the line end
  bool partial = false;  // no line end followed, or the line is longer than can be joined (1 MiB)
};

// One record, or nothing when `line` (without its newline) is malformed.
struct LogRecord {
  std::string_view time;
  Stream stream = Stream::kStdout;
  bool full = true;
  std::string_view text;
};
std::optional<LogRecord> parse_record(std::string_view line);

struct LogQuery {
  std::optional<uint64_t> tail;  // only the last N lines, before the times are looked at
  std::optional<Timestamp> since;
  std::optional<Timestamp> until;
  bool follow = false;
  // With follow: when this becomes readable or hangs up, nothing more will be written; what is
  // there is read and the call returns. See watch_container() in control.h. -1: nobody writes any
  // more.
  int end_fd = -1;
  std::stop_token stop;
};

// Calls `sink` with the lines in order, partial ones joined. A log that does not exist is empty.
Result<> read_logs(const std::string& directory, const LogQuery& query,
                   const std::function<void(const LogLine&)>& sink);

}  // namespace trivet::monitor
