#include "monitor/log_read.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <memory>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"

namespace trivet::monitor {

namespace {

constexpr size_t kLongestJoined = 1U << 20U;
constexpr size_t kTagOffset = kHeaderLength - 2;

struct Unmap {
  size_t size = 0;
  void operator()(char* memory) const { munmap(memory, size); }
};
using Mapping = std::unique_ptr<char, Unmap>;

// A file as one piece of memory; null when it is empty. Log files only grow, so nothing of it can
// go away.
Result<Mapping> map_file(int fd) {
  struct stat info{};
  if (fstat(fd, &info) != 0) return fail_errno("fstat a log");
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return Mapping();
  void* memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (memory == MAP_FAILED) return fail_errno("mmap a log");
  return Mapping(static_cast<char*>(memory), Unmap{size});
}

bool is_full(std::string_view record) {
  return record.size() > kTagOffset && record[kTagOffset] == 'F';
}

// Goes backwards over the records of `text` and takes the lines that end there from `wanted`. The
// offset of the first record that is wanted; 0 when there are not enough.
uint64_t skip_back(std::string_view text, uint64_t& wanted) {
  size_t end = text.rfind('\n');  // what follows is not written yet
  while (end != std::string_view::npos) {
    const size_t newline = end == 0 ? std::string_view::npos : text.rfind('\n', end - 1);
    const size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (is_full(text.substr(begin, end - begin))) {
      if (wanted == 0) return end + 1;
      --wanted;
    }
    end = newline;
  }
  return 0;
}

}  // namespace

std::optional<LogRecord> parse_record(std::string_view line) {
  if (line.size() < kHeaderLength) return std::nullopt;
  const std::string_view name = line.substr(kTimeLength, 8);
  const char tag = line[kTagOffset];
  if ((name != " stdout " && name != " stderr ") || (tag != 'F' && tag != 'P') ||
      line[kTagOffset + 1] != ' ' || line[kTimeLength - 1] != 'Z') {
    return std::nullopt;
  }
  return LogRecord{.time = line.substr(0, kTimeLength),
                   .stream = name == " stdout " ? Stream::kStdout : Stream::kStderr,
                   .full = tag == 'F',
                   .text = line.substr(kHeaderLength)};
}

void LineJoiner::add(std::string_view line) {
  const auto record = parse_record(line);
  if (!record) return;
  LogLine& pending = pending_[static_cast<size_t>(record->stream)];
  if (pending.time == Timestamp{}) {
    const auto time = parse_timestamp(record->time);
    if (!time) return;
    pending.time = *time;
  }
  pending.text.append(record->text);
  if (record->full) {
    emit(pending, false);
  } else if (pending.text.size() >= kLongestJoined) {
    emit(pending, true);
  }
}

void LineJoiner::finish() {
  for (LogLine& line : pending_) {
    if (line.time != Timestamp{}) emit(line, true);
  }
}

void LineJoiner::emit(LogLine& line, bool partial) {
  line.partial = partial;
  sink_(line);
  line.text.clear();
  line.time = {};
}

Result<> LogFile::read_on(const std::function<void(std::string_view)>& take) {
  std::array<char, 65536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (;;) {
    const ssize_t count =
        ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset_));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read a log");
    if (count == 0) return {};
    offset_ += static_cast<uint64_t>(count);
    std::string_view text(buffer.data(), static_cast<size_t>(count));
    for (size_t end = 0; (end = text.find('\n')) != std::string_view::npos;
         text.remove_prefix(end + 1)) {
      rest_.append(text.substr(0, end));
      take(rest_);
      rest_.clear();
    }
    rest_.append(text);
  }
}

uint64_t LogFile::inode() const {
  struct stat info{};
  return fstat(fd_.get(), &info) == 0 ? info.st_ino : 0;
}

Result<UniqueFd> open_log(int directory_fd, int number) {
  return open_at(directory_fd, number == 0 ? "log" : fmt::format("log.{}", number), O_RDONLY);
}

Result<std::vector<LogFile>> open_logs(int directory_fd, std::optional<uint64_t> tail) {
  std::vector<LogFile> files;
  bool enough = false;
  for (int number = 0; !enough; ++number) {
    auto opened = open_log(directory_fd, number);
    // Between two renames of a rotation there is no "log".
    if (!opened && opened.error().errnum() == ENOENT && number == 0) continue;
    if (!opened && opened.error().errnum() == ENOENT) break;
    UniqueFd fd = TRY(std::move(opened));
    uint64_t offset = 0;
    if (tail) {
      const Mapping file = TRY(map_file(fd.get()));
      if (file) offset = skip_back({file.get(), file.get_deleter().size}, *tail);
      enough = *tail == 0 && offset != 0;
    }
    LogFile file(std::move(fd), offset);
    // The same one again: it was renamed meanwhile.
    if (!files.empty() && files.back().inode() == file.inode()) continue;
    files.push_back(std::move(file));
  }
  std::ranges::reverse(files);
  return files;
}

Result<> read_logs(const std::string& directory, const LogQuery& query,
                   const std::function<void(const LogLine&)>& sink) {
  LineJoiner joiner([&](const LogLine& line) {
    if (query.since && line.time < *query.since) return;
    if (query.until && line.time > *query.until) return;
    sink(line);
  });
  const auto take = [&](std::string_view line) { joiner.add(line); };
  auto opened = open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!opened && opened.error().errnum() == ENOENT) return {};
  const UniqueFd dir = TRY(std::move(opened));
  std::vector<LogFile> files = TRY(open_logs(dir.get(), query.tail));
  for (LogFile& file : files) TRY(file.read_on(take));
  if (query.follow && !files.empty()) {
    TRY(LogFollower(dir.get(), query, take).run(std::move(files.back())));
  }
  joiner.finish();
  return {};
}

}  // namespace trivet::monitor
