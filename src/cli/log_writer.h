// Lines of logs on stdout and stderr.
#pragma once

#include <cstdio>
#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "trivet/engine.h"

namespace trivet::cli {

struct LogsFlags {
  LogOptions logs;
  bool timestamps = false;
};

// -f, -n, --since, --until, -t: stored in `flags`, which must outlive the command.
void declare_logs_options(Command& command, LogsFlags& flags);

// Writes lines to the stream they came from, in order even when both end in the same place.
class LogWriter {
 public:
  explicit LogWriter(const LogsFlags& flags)
      : timestamps_(flags.timestamps), follow_(flags.logs.follow) {}

  // `prefix` comes before a whole line: whose it is.
  void write(const LogLine& line, std::string_view prefix = {});

 private:
  bool timestamps_;
  bool follow_;
  std::string open_;  // the prefix of the line that is not at its end yet
  bool at_line_start_ = true;
  FILE* last_ = stdout;
};

}  // namespace trivet::cli
