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

Result<LogFile> LogFile::open(int directory_fd, int number) {
  UniqueFd fd = TRY(open_at(directory_fd, log_name(number), O_RDONLY));
  struct stat info{};
  if (fstat(fd.get(), &info) != 0) return fail_errno("fstat a log");
  return LogFile(std::move(fd), info.st_ino);
}

Result<bool> LogFile::skip_to_last(uint64_t& lines) {
  const Mapping file = TRY(map_file(fd_.get()));
  if (file) offset_ = skip_back({file.get(), file.get_deleter().size}, lines);
  return lines == 0 && offset_ != 0;
}

Result<std::vector<LogFile>> open_logs(int directory_fd, std::optional<uint64_t> tail) {
  std::vector<LogFile> files;
  bool enough = false;
  for (int number = 0; !enough; ++number) {
    auto opened = LogFile::open(directory_fd, number);
    if (!opened && opened.error().errnum() == ENOENT) break;
    LogFile file = TRY(std::move(opened));
    // It may have moved up since it was opened under a lower number.
    if (std::ranges::find(files, file.inode(), &LogFile::inode) != files.end()) continue;
    if (tail) enough = TRY(file.skip_to_last(*tail));
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
