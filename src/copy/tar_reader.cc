#include <algorithm>
#include <charconv>
#include <cstring>

#include <climits>

#include "copy/tar.h"
#include "copy/tar_header.h"

namespace trivet::copy {

namespace {

constexpr size_t kBuffer = 65536;
constexpr uint64_t kMaxExtension = 32768;
constexpr int64_t kLatestTime = int64_t{1} << 40U;

template <typename... Args>
[[nodiscard]] std::unexpected<Error> corrupt(fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::kCorrupt, "tar stream: {}",
              fmt::format(format, std::forward<Args>(args)...));
}

template <size_t kSize>
std::string_view text_of(const std::array<char, kSize>& field) {
  return {field.data(), strnlen(field.data(), kSize)};
}

template <typename T>
bool parse_whole(std::string_view text, T& value, int base) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

// A field that says nothing is zero.
template <size_t kSize>
Result<uint64_t> number_of(const std::array<char, kSize>& field) {
  std::string_view text = text_of(field);
  while (text.ends_with(' ')) text.remove_suffix(1);
  uint64_t value = 0;
  if (!text.empty() && !parse_whole(text, value, 8))
    return corrupt("a header has a field that is no number");
  return value;
}

// What the pax records before a header say.
struct Extension {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<uint64_t> size;
  std::optional<uint64_t> uid;
  std::optional<uint64_t> gid;
  std::optional<std::pair<int64_t, uint32_t>> mtime;
};

Result<uint64_t> parse_decimal(std::string_view text) {
  uint64_t value = 0;
  if (!parse_whole(text, value, 10)) return corrupt("a pax record with no number");
  return value;
}

// "-5", "1700000000.000000123".
Result<std::pair<int64_t, uint32_t>> parse_time(std::string_view text) {
  const size_t point = text.find('.');
  int64_t seconds = 0;
  uint32_t nanoseconds = 0;
  constexpr size_t kDigits = 9;
  if (!parse_whole(text.substr(0, point), seconds, 10)) return corrupt("a time that is none");
  if (point != std::string_view::npos) {
    std::string fraction(text.substr(point + 1, kDigits));
    if (fraction.empty()) return corrupt("a time that is none");
    fraction.resize(kDigits, '0');
    if (!parse_whole(std::string_view(fraction), nanoseconds, 10)) {
      return corrupt("a time that is none");
    }
  }
  if (seconds < -kLatestTime || seconds > kLatestTime) return corrupt("a time out of range");
  return std::pair(seconds, seconds < 0 ? 0 : nanoseconds);
}

Result<> apply_record(std::string_view key, std::string_view value, Extension& extension) {
  if (key == "path") {
    extension.path = value;
  } else if (key == "linkpath") {
    extension.link = value;
  } else if (key == "size") {
    extension.size = TRY(parse_decimal(value));
  } else if (key == "uid") {
    extension.uid = TRY(parse_decimal(value));
  } else if (key == "gid") {
    extension.gid = TRY(parse_decimal(value));
  } else if (key == "mtime") {
    extension.mtime = TRY(parse_time(value));
  }
  return {};
}

Result<Extension> parse_records(std::string_view text) {
  Extension extension;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    size_t length = 0;
    if (space == std::string_view::npos || !parse_whole(text.substr(0, space), length, 10) ||
        length < space + 3 || length > text.size() || text[length - 1] != '\n') {
      return corrupt("a malformed pax record");
    }
    const std::string_view record = text.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) return corrupt("a malformed pax record");
    TRY(apply_record(record.substr(0, equals), record.substr(equals + 1), extension));
    text.remove_prefix(length);
  }
  return extension;
}

// "a/b" of "./a//b/"; "." for the directory itself.
Result<std::string> clean_path(std::string_view path) {
  if (path.empty() || path.size() >= PATH_MAX || path.find('\0') != std::string_view::npos) {
    return corrupt("an entry without a usable name");
  }
  if (path.starts_with('/')) return corrupt("\"{}\" is absolute", path);
  std::string clean;
  int depth = 0;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(part.size() + 1, path.size()));
    if (part == "..") return corrupt("an entry climbs out with \"..\"");
    if (part.empty() || (part == "." && !clean.empty())) continue;
    if (++depth > kMaxDepth) return corrupt("directories are nested over {} deep", kMaxDepth);
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

Result<uint32_t> narrow(uint64_t value) {
  if (value > UINT32_MAX - 1) return corrupt("a number out of range");
  return static_cast<uint32_t>(value);
}

Result<> check_header(const TarHeader& header) {
  if (std::string_view(header.magic.data(), 6) != std::string_view("ustar\0", 6)) {
    return corrupt("a header without magic");
  }
  if (TRY(number_of(header.checksum)) != tar_checksum(header)) return corrupt("a wrong checksum");
  return {};
}

Result<TarEntry> make_entry(const TarHeader& header, Extension extension) {
  TarEntry entry;
  const size_t type = header.type == '\0' ? 0 : kTypeFlags.find(header.type);
  if (type == std::string_view::npos) return corrupt("an entry of unknown type");
  entry.type = static_cast<TarEntry::Type>(type);
  entry.path = TRY(clean_path(extension.path ? *extension.path : text_of(header.name)));
  entry.target = extension.link ? *extension.link : std::string(text_of(header.link));
  entry.mode = static_cast<mode_t>(TRY(number_of(header.mode)) & 07777U);
  entry.uid = TRY(narrow(extension.uid ? *extension.uid : TRY(number_of(header.uid))));
  entry.gid = TRY(narrow(extension.gid ? *extension.gid : TRY(number_of(header.gid))));
  entry.size = extension.size ? *extension.size : TRY(number_of(header.size));
  const auto seconds = static_cast<int64_t>(TRY(number_of(header.mtime)));
  std::tie(entry.mtime, entry.mtime_ns) = extension.mtime.value_or(std::pair(seconds, uint32_t{0}));
  entry.major = TRY(narrow(TRY(number_of(header.major))));
  entry.minor = TRY(narrow(TRY(number_of(header.minor))));
  return entry;
}

Result<> check_entry(TarEntry& entry) {
  using Type = TarEntry::Type;
  if (entry.type != Type::kFile && entry.size != 0) return corrupt("content without a file");
  if (entry.size > static_cast<uint64_t>(INT64_MAX)) return corrupt("a size out of range");
  if (entry.type == Type::kHardLink) entry.target = TRY(clean_path(entry.target));
  if (entry.type != Type::kSymlink) return {};
  if (entry.target.empty() || entry.target.size() >= PATH_MAX ||
      entry.target.find('\0') != std::string::npos) {
    return corrupt("a symlink without a usable target");
  }
  return {};
}

}  // namespace

// Reads once, behind what is there.
Result<> TarReader::fill() {
  if (buffer_.empty()) buffer_.resize(kBuffer);
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const size_t count = TRY(source_(buffer_.data() + end_, buffer_.size() - end_));
  if (count == 0) return corrupt("it ends in the middle");
  end_ += count;
  return {};
}

// At most the buffer's size.
Result<std::string_view> TarReader::take(size_t size) {
  while (end_ - begin_ < size) TRY(fill());
  begin_ += size;
  return std::string_view(buffer_.data() + begin_ - size, size);
}

Result<std::string_view> TarReader::take_some(uint64_t most) {
  if (begin_ == end_) TRY(fill());
  return take(std::min<uint64_t>(most, end_ - begin_));
}

Result<> TarReader::skip(uint64_t size) {
  while (size > 0) size -= TRY(take_some(size))
  .size();
  return {};
}

Result<std::string_view> TarReader::read() {
  if (remaining_ == 0) return std::string_view();
  const std::string_view piece = TRY(take_some(remaining_));
  remaining_ -= piece.size();
  return piece;
}

Result<std::string> TarReader::take_extension(uint64_t size) {
  if (size > kMaxExtension) return corrupt("a pax header of {} bytes", size);
  std::string records(TRY(take(size)));
  TRY(skip(tar_padding(size).size()));
  return records;
}

Result<std::optional<TarEntry>> TarReader::next() {
  if (ended_) return std::nullopt;
  TRY(skip(remaining_));
  TRY(skip(padding_));
  remaining_ = 0;
  padding_ = 0;
  Extension extension;
  for (bool extended = false;; extended = true) {
    TarHeader header{};
    const std::string_view block = TRY(take(kTarBlock));
    if (!extended && std::ranges::all_of(block, [](char c) { return c == '\0'; })) {
      ended_ = true;
      return std::nullopt;
    }
    std::memcpy(&header, block.data(), sizeof header);
    TRY(check_header(header));
    if (header.type == 'x' && !extended) {
      const std::string records = TRY(take_extension(TRY(number_of(header.size))));
      extension = TRY(parse_records(records));
      continue;
    }
    TarEntry entry = TRY(make_entry(header, std::move(extension)));
    TRY(check_entry(entry));
    remaining_ = entry.size;
    padding_ = tar_padding(entry.size).size();
    return entry;
  }
}

}  // namespace trivet::copy
