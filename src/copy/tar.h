// The tar streams that copies travel in: ustar with pax extensions (POSIX.1-2017, pax), written and
// read without a library, so that they can come from a guest that is not trusted and be made by one
// that has little memory.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/result.h"

namespace trivet::copy {

inline constexpr int kMaxDepth = 1000;  // of directories in each other

struct TarEntry {
  enum class Type { kFile, kHardLink, kSymlink, kCharacterDevice, kBlockDevice, kDirectory, kFifo };
  Type type = Type::kFile;
  std::string path;    // relative, without "..", without slash at the end
  std::string target;  // of a symlink: its text; of a hard link: a path like `path`
  mode_t mode = 0;     // permission bits with set-id and sticky
  uid_t uid = 0;
  gid_t gid = 0;
  uint64_t size = 0;  // of a file
  int64_t mtime = 0;
  uint32_t mtime_ns = 0;
  uint32_t major = 0;  // of a device
  uint32_t minor = 0;
};

// Takes the next bytes.
using Sink = std::function<Result<>(std::string_view)>;
// Puts at most `size` bytes into `buffer`; 0 at the end.
using Source = std::function<Result<size_t>(char* buffer, size_t size)>;
[[nodiscard]] Sink sink_to(int fd);
[[nodiscard]] Source source_from(int fd);

// The header blocks of an entry. What follows are its size in bytes and the padding.
[[nodiscard]] std::string print_tar_header(const TarEntry& entry);
// Zeros that are missing in the last block of a file of this size.
[[nodiscard]] std::string_view tar_padding(uint64_t size);
// What ends an archive.
[[nodiscard]] std::string_view tar_end();

// The entry `name` of a directory with everything below. Sockets are left out. A file that changes
// its size meanwhile is cut off or filled up with zeros, since the header is out.
Result<> write_tar(int directory, const std::string& name, const Sink& sink);

// The entries of a stream, one after the other. kCorrupt for what write_tar and print_tar_header do
// not print (unknown pax records are skipped); the stream is not to be read on then.
class TarReader {
 public:
  explicit TarReader(Source source) : source_(std::move(source)) {}

  // The next entry; nothing at the end of the archive. Content of the one before is skipped.
  Result<std::optional<TarEntry>> next();
  // The next piece of the content, valid until the next call; empty at its end.
  Result<std::string_view> read();

 private:
  Result<std::string_view> take(size_t size);
  Result<std::string_view> take_some(uint64_t most);
  Result<> fill();
  Result<> skip(uint64_t size);
  Result<std::string> take_extension(uint64_t size);

  Source source_;
  std::vector<char> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t remaining_ = 0;  // of the content
  size_t padding_ = 0;      // behind it
  bool ended_ = false;
};

}  // namespace trivet::copy
