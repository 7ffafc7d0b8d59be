#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "monitor/log_file.h"

namespace trivet::monitor {

namespace {

constexpr const char* kNewName = "log.new";

}  // namespace

std::string log_name(int number) {
  return number == 0 ? "log" : fmt::format("log.{}", number);
}

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

// log.1 becomes log.2 and so on; the oldest one is replaced. A file has its new name before it
// loses the old one, so that readers find all of them at any time, also when the monitor dies on
// the way.
Result<> LogWriter::rotate() {
  for (int number = limits_.max_files - 1; number > 0; --number) {
    const std::string from = log_name(number - 1);
    (void)unlinkat(directory_.get(), kNewName, 0);  // of a monitor that died
    if (linkat(directory_.get(), from.c_str(), directory_.get(), kNewName, 0) == 0) {
      TRY(replace(log_name(number)));
    } else if (errno != ENOENT) {
      return fail_errno("link \"{}\" to \"{}\"", from, kNewName);
    }
  }
  (void)unlinkat(directory_.get(), kNewName, 0);
  UniqueFd file =
      TRY(open_at(directory_.get(), kNewName, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600));
  TRY(replace(log_name(0)));
  file_ = std::move(file);
  size_ = 0;
  return {};
}

// Gives the file kNewName the name `name`, in the place of what had it.
Result<> LogWriter::replace(const std::string& name) {
  if (renameat(directory_.get(), kNewName, directory_.get(), name.c_str()) == 0) return {};
  return fail_errno("rename \"{}\" to \"{}\"", kNewName, name);
}

}  // namespace trivet::monitor
