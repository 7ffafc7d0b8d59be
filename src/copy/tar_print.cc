#include <algorithm>
#include <array>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <climits>

#include "base/fs.h"
#include "copy/tar.h"
#include "copy/tar_header.h"

namespace trivet::copy {

namespace {

constexpr std::array<char, 2 * kTarBlock> kZeros{};

// Octal, as wide as the field is, and a NUL.
void put_number(char* field, size_t width, uint64_t value) {
  const std::string digits = fmt::format("{:0{}o}", value, width - 1);
  std::memcpy(field, digits.data(), width - 1);
}

template <size_t kSize>
void put_number(std::array<char, kSize>& field, uint64_t value) {
  put_number(field.data(), kSize, value);
}

template <size_t kSize>
void put_text(std::array<char, kSize>& field, std::string_view text) {
  std::memcpy(field.data(), text.data(), std::min(text.size(), kSize));
}

char type_flag(TarEntry::Type type) {
  return kTypeFlags.at(static_cast<size_t>(type));
}

// A record counts itself: "LENGTH KEY=VALUE\n".
std::string pax_record(std::string_view key, std::string_view value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (fmt::formatted_size("{}", length) + rest != length) {
    length = fmt::formatted_size("{}", length) + rest;
  }
  return fmt::format("{} {}={}\n", length, key, value);
}

std::string finish_header(TarHeader& header) {
  put_text(header.magic, {"ustar\00000", 8});
  put_number(header.checksum.data(), header.checksum.size() - 1, tar_checksum(header));
  header.checksum.back() = ' ';
  return {reinterpret_cast<const char*>(&header), sizeof header};
}

std::string print_extension(const std::string& records) {
  TarHeader header{};
  put_text(header.name, "pax");
  put_number(header.mode, 0644);
  put_number(header.size, records.size());
  header.type = 'x';
  std::string text = finish_header(header);
  text += records;
  text += tar_padding(records.size());
  return text;
}

// What does not fit into the plain header.
std::string pax_records(const TarEntry& entry, const std::string& path) {
  std::string records;
  if (path.size() > sizeof TarHeader::name) records += pax_record("path", path);
  if (entry.target.size() > sizeof TarHeader::link) records += pax_record("linkpath", entry.target);
  const auto add_number = [&](std::string_view key, uint64_t value, uint64_t most) {
    if (value > most) records += pax_record(key, fmt::format("{}", value));
  };
  add_number("size", entry.size, kMaxOctal11);
  add_number("uid", entry.uid, kMaxOctal7);
  add_number("gid", entry.gid, kMaxOctal7);
  if (entry.mtime < 0) {
    records += pax_record("mtime", fmt::format("{}", entry.mtime));
  } else if (entry.mtime_ns != 0 || static_cast<uint64_t>(entry.mtime) > kMaxOctal11) {
    records += pax_record("mtime", fmt::format("{}.{:09}", entry.mtime, entry.mtime_ns));
  }
  return records;
}

TarEntry::Type type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return TarEntry::Type::kDirectory;
    case S_IFLNK:
      return TarEntry::Type::kSymlink;
    case S_IFCHR:
      return TarEntry::Type::kCharacterDevice;
    case S_IFBLK:
      return TarEntry::Type::kBlockDevice;
    case S_IFIFO:
      return TarEntry::Type::kFifo;
    default:
      return TarEntry::Type::kFile;
  }
}

TarEntry describe(const std::string& path, const struct stat& status) {
  TarEntry entry{.type = type_of(status.st_mode),
                 .path = path,
                 .mode = status.st_mode & 07777U,
                 .uid = status.st_uid,
                 .gid = status.st_gid,
                 .mtime = status.st_mtim.tv_sec,
                 .mtime_ns = static_cast<uint32_t>(status.st_mtim.tv_nsec)};
  if (S_ISREG(status.st_mode)) entry.size = static_cast<uint64_t>(status.st_size);
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    entry.major = major(status.st_rdev);
    entry.minor = minor(status.st_rdev);
  }
  return entry;
}

class TarWriter {
 public:
  explicit TarWriter(const Sink& sink) : sink_(sink) {}

  Result<> add(int directory, const std::string& name, const std::string& path, int depth) {
    if (depth > kMaxDepth) {
      return fail(ErrorCode::kLimitExceeded, "directories are nested over {} deep", kMaxDepth);
    }
    struct stat status{};
    if (fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno("stat \"{}\"", path);
    }
    if (S_ISSOCK(status.st_mode)) return {};
    if (S_ISREG(status.st_mode)) return add_file(directory, name, path);
    TarEntry entry = describe(path, status);
    if (S_ISLNK(status.st_mode)) entry.target = TRY(read_link(directory, name, path));
    TRY(sink_(print_tar_header(entry)));
    if (!S_ISDIR(status.st_mode)) return {};
    const UniqueFd inside = TRY(open_at(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    for (const std::string& child : TRY(list_dir(inside.get(), "."))) {
      TRY(add(inside.get(), child, path + "/" + child, depth + 1));
    }
    return {};
  }

 private:
  static Result<std::string> read_link(int directory, const std::string& name,
                                       const std::string& path) {
    std::array<char, PATH_MAX> target{};
    const ssize_t length = readlinkat(directory, name.c_str(), target.data(), target.size() - 1);
    if (length < 0) return fail_errno("readlink \"{}\"", path);
    return std::string(target.data(), static_cast<size_t>(length));
  }

  Result<> add_file(int directory, const std::string& name, const std::string& path) {
    const UniqueFd file = TRY(open_at(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    struct stat status{};
    if (fstat(file.get(), &status) != 0) return fail_errno("stat \"{}\"", path);
    TarEntry entry = describe(path, status);
    // Files of /proc and /sys say 0 and have content: it is counted first.
    constexpr size_t kMaxUncounted = 4U << 20U;
    std::string content;
    if (entry.size == 0) {
      content = TRY(read_fd(file.get(), path, kMaxUncounted));
      entry.size = content.size();
    }
    TRY(sink_(print_tar_header(entry)));
    if (content.empty()) {
      TRY(add_content(file.get(), entry.size, path));
    } else {
      TRY(sink_(content));
    }
    return sink_(tar_padding(entry.size));
  }

  Result<> add_content(int file, uint64_t size, const std::string& path) {
    while (size > 0) {
      const size_t most = std::min<uint64_t>(size, buffer_.size());
      const ssize_t count = ::read(file, buffer_.data(), most);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno("read \"{}\"", path);
      const size_t length = count == 0 ? std::min(most, kZeros.size()) : static_cast<size_t>(count);
      TRY(sink_({count == 0 ? kZeros.data() : buffer_.data(), length}));
      size -= length;
    }
    return {};
  }

  const Sink& sink_;
  std::vector<char> buffer_ = std::vector<char>(65536);
};

}  // namespace

Sink sink_to(int fd) {
  return [fd](std::string_view bytes) { return write_all(fd, bytes, "the tar stream"); };
}

Source source_from(int fd) {
  return [fd](char* buffer, size_t size) -> Result<size_t> {
    for (;;) {
      const ssize_t count = ::read(fd, buffer, size);
      if (count >= 0) return static_cast<size_t>(count);
      if (errno != EINTR) return fail_errno("read the tar stream");
    }
  };
}

std::string_view tar_padding(uint64_t size) {
  return {kZeros.data(), (kTarBlock - size % kTarBlock) % kTarBlock};
}

std::string_view tar_end() {
  return {kZeros.data(), kZeros.size()};
}

std::string print_tar_header(const TarEntry& entry) {
  const bool is_directory = entry.type == TarEntry::Type::kDirectory;
  const std::string path = entry.path + (is_directory ? "/" : "");
  const std::string records = pax_records(entry, path);
  TarHeader header{};
  put_text(header.name, path);
  put_text(header.link, entry.target);
  put_number(header.mode, entry.mode & 07777U);
  put_number(header.uid, std::min<uint64_t>(entry.uid, kMaxOctal7));
  put_number(header.gid, std::min<uint64_t>(entry.gid, kMaxOctal7));
  put_number(header.size, std::min(entry.size, kMaxOctal11));
  put_number(
      header.mtime,
      std::min<uint64_t>(static_cast<uint64_t>(std::max<int64_t>(entry.mtime, 0)), kMaxOctal11));
  put_number(header.major, std::min<uint64_t>(entry.major, kMaxOctal7));
  put_number(header.minor, std::min<uint64_t>(entry.minor, kMaxOctal7));
  header.type = type_flag(entry.type);
  return (records.empty() ? std::string() : print_extension(records)) + finish_header(header);
}

Result<> write_tar(int directory, const std::string& name, const Sink& sink) {
  TRY(TarWriter(sink).add(directory, name, name, 0));
  return sink(tar_end());
}

}  // namespace trivet::copy
