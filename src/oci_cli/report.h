// Errors and warnings of trivet-oci: to stderr, and to the log that engines read.
#pragma once

#include <string>

#include "base/result.h"

namespace trivet::oci_cli {

// podman takes the whole of a JSON log for one error, and can't read it when a warning is in it:
// like crun's, such a log has warnings only when it is asked for them.
struct LogTarget {
  std::string path;  // empty: stderr only
  bool json = false;
  bool warnings = true;
};

// Appends one entry: {"level":…,"msg":…,"time":…} or level=… msg=… time=….
void write_log(const LogTarget& target, const char* level, const std::string& message);

// A warning to the log, if that takes warnings, or to stderr where there is none.
void report_warning(const LogTarget& target, const std::string& message);

// The error to the log and to stderr, with its notes; the hint goes to stderr.
void report_error(const LogTarget& target, const Error& error);

}  // namespace trivet::oci_cli
