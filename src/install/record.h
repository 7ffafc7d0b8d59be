// What `trivet install` has done to a file, kept until it is undone.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "install/caller.h"

namespace trivet::install {

struct Record {
  std::string file;
  std::optional<std::string> before;  // the file's text; nothing: there was none
  std::string after_digest;           // SHA-256 of the text that was written
  Registration registration;
  std::vector<std::string> made_dirs;  // the outermost first
};

[[nodiscard]] std::string print_record(const Record& record);
Result<Record> parse_record(std::string_view text, const std::string& path);

// Below the data directory; one for each file that a caller has.
struct RecordPlace {
  std::string folder;  // DATA/install
  std::string path;    // of the record
  std::string links;   // DATA/runtimes: the links
};
RecordPlace record_place(const std::string& data_dir, Caller caller, const std::string& file);
// Nothing when there is none.
Result<std::optional<Record>> read_record(const RecordPlace& place);

}  // namespace trivet::install
