// Tar streams of `cp -` that come from outside: read by libarchive, in whatever form they are.
#include <array>
#include <memory>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/text.h"
#include "copy/unpack.h"
#include "runtime/copy.h"

namespace trivet::runtime {

namespace {

using copy::TarEntry;

struct ArchiveDeleter {
  void operator()(archive* a) const { archive_free(a); }
};
using Archive = std::unique_ptr<archive, ArchiveDeleter>;

std::unexpected<Error> archive_failure(archive* a) {
  const char* text = archive_error_string(a);
  return fail(ErrorCode::kSystem, "read tar: {}", text != nullptr ? text : "unknown failure");
}

// Relative and clean; empty for the directory itself.
Result<std::string> clean_path(std::string_view path) {
  if (path.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument, "tar entry \"{}\" is absolute", path);
  }
  std::string clean;
  for (const std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return fail(ErrorCode::kInvalidArgument, "tar entry \"{}\" climbs out with \"..\"", path);
    }
    if (!clean.empty()) clean += '/';
    clean += part;
  }
  return clean;
}

std::optional<TarEntry::Type> type_of(archive_entry* entry) {
  if (archive_entry_hardlink(entry) != nullptr) return TarEntry::Type::kHardLink;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return TarEntry::Type::kFile;
    case AE_IFDIR:
      return TarEntry::Type::kDirectory;
    case AE_IFLNK:
      return TarEntry::Type::kSymlink;
    case AE_IFCHR:
      return TarEntry::Type::kCharacterDevice;
    case AE_IFBLK:
      return TarEntry::Type::kBlockDevice;
    case AE_IFIFO:
      return TarEntry::Type::kFifo;
    default:
      return std::nullopt;
  }
}

// Nothing for what is left out: sockets.
Result<std::optional<TarEntry>> convert(archive_entry* source) {
  const char* path = archive_entry_pathname(source);
  if (path == nullptr) return fail(ErrorCode::kInvalidArgument, "a tar entry has no name");
  const auto type = type_of(source);
  if (!type) return std::nullopt;
  TarEntry entry {
    .type = *type, .path = TRY(clean_path(path))
    , .mode = archive_entry_mode(source) & 07777U,
        .uid = static_cast<uid_t>(archive_entry_uid(source)),
        .gid = static_cast<gid_t>(archive_entry_gid(source)), .mtime = archive_entry_mtime(source),
        .mtime_ns = static_cast<uint32_t>(archive_entry_mtime_nsec(source)),
        .major = major(archive_entry_rdev(source)), .minor = minor(archive_entry_rdev(source))
  };
  if (*type == TarEntry::Type::kFile)
    entry.size = static_cast<uint64_t>(archive_entry_size(source));
  if (*type == TarEntry::Type::kHardLink) {
    entry.target = TRY(clean_path(archive_entry_hardlink(source)));
  } else if (const char* target = archive_entry_symlink(source); target != nullptr) {
    entry.target = target;
  }
  return entry;
}

// What is done with each entry, and with each piece of its content.
struct Visitor {
  std::function<Result<>(const TarEntry&)> begin;
  std::function<Result<>(std::string_view)> content;
  std::function<Result<>(const TarEntry&)> end;
};

Result<> visit_content(archive* a, const Visitor& visitor) {
  std::array<char, 65536> buffer{};
  for (;;) {
    const la_ssize_t count = archive_read_data(a, buffer.data(), buffer.size());
    if (count == 0) return {};
    if (count < 0) return archive_failure(a);
    TRY(visitor.content({buffer.data(), static_cast<size_t>(count)}));
  }
}

Result<> visit_tar(int input, const Visitor& visitor) {
  const Archive archive(archive_read_new());
  archive_read_support_format_tar(archive.get());
  archive_read_support_filter_gzip(archive.get());
  archive_read_support_filter_zstd(archive.get());
  if (archive_read_open_fd(archive.get(), input, 65536) != ARCHIVE_OK) {
    return archive_failure(archive.get());
  }
  for (;;) {
    archive_entry* source = nullptr;
    const int code = archive_read_next_header(archive.get(), &source);
    if (code == ARCHIVE_EOF) return {};
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return archive_failure(archive.get());
    const auto entry = TRY(convert(source));
    if (!entry || entry->path.empty()) continue;  // "./": the directory itself
    TRY(visitor.begin(*entry));
    if (entry->type != TarEntry::Type::kFile) continue;
    TRY(visit_content(archive.get(), visitor));
    TRY(visitor.end(*entry));
  }
}

}  // namespace

Result<> read_tar(int input, int directory) {
  copy::Unpacker unpacker(directory, {.owner = std::nullopt,
                                      .trust = copy::UnpackOptions::Trust::kTrusted,
                                      .parents = copy::UnpackOptions::Parents::kFollowed});
  TRY(visit_tar(input, {.begin = [&](const TarEntry& e) { return unpacker.begin(e, e.path); },
                        .content = [&](std::string_view piece) { return unpacker.write(piece); },
                        .end = [&](const TarEntry&) { return unpacker.finish_file(); }}));
  return unpacker.finish();
}

Result<> forward_tar(int input, const copy::Sink& sink) {
  TRY(visit_tar(input,
                {.begin = [&](const TarEntry& e) { return sink(print_tar_header(e)); },
                 .content = sink,
                 .end = [&](const TarEntry& e) { return sink(copy::tar_padding(e.size)); }}));
  return sink(copy::tar_end());
}

}  // namespace trivet::runtime
