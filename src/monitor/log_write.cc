#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "monitor/log_file.h"

namespace trivet::monitor {

namespace {

std::string file_name(int number) {
  return number == 0 ? "log" : fmt::format("log.{}", number);
}

}  // namespace

Result<LogWriter> LogWriter::open(const std::string& directory, LogLimits limits) {
  TRY(make_dirs(directory, 0700));
  UniqueFd dir = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  UniqueFd file = TRY(open_at(dir.get(), "log", O_WRONLY | O_CREAT | O_APPEND, 0600));
  struct stat info{};
  if (fstat(file.get(), &info) != 0) return fail_errno("fstat \"{}/log\"", directory);
  limits.max_files = std::max(limits.max_files, 1);
  LogWriter writer(std::move(dir), std::move(file), static_cast<uint64_t>(info.st_size), limits);
  return writer;
}

Result<> LogWriter::append(Stream stream, std::string_view data, Timestamp now) {
  const std::string time = format_rfc3339(now);
  const std::string_view name = stream == Stream::kStdout ? " stdout " : " stderr ";
  std::string full = time;
  full.append(name).append("F ");
  std::string part = time;
  part.append(name).append("P ");
  while (!data.empty()) {
    const std::string_view window = data.substr(0, kMaxRecordText + 1);
    const void* found = std::memchr(window.data(), '\n', window.size());
    const bool ends = found != nullptr;
    const size_t length = ends ? static_cast<size_t>(static_cast<const char*>(found) - data.data())
                               : std::min(data.size(), kMaxRecordText);
    const size_t record = kHeaderLength + length + 1;
    if (limits_.max_size != 0 && size_ + buffer_.size() + record > limits_.max_size &&
        size_ + buffer_.size() > 0) {
      TRY(flush());
      TRY(rotate());
    }
    buffer_.append(ends ? full : part).append(data.substr(0, length)).push_back('\n');
    data.remove_prefix(length + (ends ? 1 : 0));
  }
  return flush();
}

Result<> LogWriter::flush() {
  if (buffer_.empty()) return {};
  auto written = write_all(file_.get(), buffer_, "log");
  size_ += buffer_.size();
  buffer_.clear();
  return written;
}

// log.1 becomes log.2 and so on; the oldest one is replaced. With a single file the old one goes.
Result<> LogWriter::rotate() {
  for (int number = limits_.max_files - 1; number > 0; --number) {
    const std::string from = file_name(number - 1);
    const std::string to = file_name(number);
    if (renameat(directory_.get(), from.c_str(), directory_.get(), to.c_str()) != 0 &&
        errno != ENOENT) {
      return fail_errno("rename \"{}\" to \"{}\"", from, to);
    }
  }
  if (limits_.max_files == 1) (void)unlinkat(directory_.get(), "log", 0);
  file_ = TRY(open_at(directory_.get(), "log", O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));
  size_ = 0;
  return {};
}

}  // namespace trivet::monitor
