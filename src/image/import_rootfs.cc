// A directory as a layer: the same files give the same tar, byte for byte.
#include <array>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <climits>

#include "base/fs.h"
#include "image/import.h"
#include "image/unpack.h"
#include "image/unpack_locale.h"

namespace trivet::image {

namespace {

constexpr int kMaxDepth = 400;
constexpr size_t kBuffer = 256U << 10U;

struct FreeEntry {
  void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};
struct FreeWriter {
  void operator()(archive* writer) const { archive_write_free(writer); }
};

// Writes the tree below a directory into a blob. Names are sorted; owners are numbers; sockets,
// which a tar can't hold, are left out.
class TreeArchiver {
 public:
  explicit TreeArchiver(BlobWriter& blob)
      : blob_(blob), writer_(archive_write_new()), buffer_(kBuffer) {}

  Result<> run(int directory_fd) {
    const ArchiveLocale::Scope scope(locale_);
    archive* writer = writer_.get();
    archive_write_set_format_pax_restricted(writer);
    archive_write_set_bytes_in_last_block(writer, 1);
    if (archive_write_open(writer, this, nullptr, write_callback, nullptr) != ARCHIVE_OK) {
      return std::unexpected(error("start the tar"));
    }
    struct stat status{};
    if (fstat(directory_fd, &status) != 0) return fail_errno("stat the directory");
    TRY(add_header(".", directory_fd, ".", status));
    TRY(add_children(directory_fd, "", 0));
    if (archive_write_close(writer) != ARCHIVE_OK) return std::unexpected(error("end the tar"));
    return {};
  }

 private:
  static la_ssize_t write_callback(archive* writer, void* self, const void* data, size_t size) {
    auto* archiver = static_cast<TreeArchiver*>(self);
    auto written = archiver->blob_.write({static_cast<const char*>(data), size});
    if (written) return static_cast<la_ssize_t>(size);
    archiver->failure_ = std::move(written).error();
    archive_set_error(writer, EIO, "stopped");
    return -1;
  }

  Error error(std::string_view doing) {
    if (failure_) return *failure_;
    const char* text = archive_error_string(writer_.get());
    return {ErrorCode::kSystem, fmt::format("{}: {}", doing, text != nullptr ? text : "failed")};
  }

  Result<> add_children(int directory_fd, const std::string& path, int depth) {
    if (depth > kMaxDepth) {
      return fail(ErrorCode::kLimitExceeded, "directories nest deeper than {}", kMaxDepth);
    }
    for (const std::string& name : TRY(list_dir(directory_fd, "."))) {
      const std::string child = path.empty() ? name : path + "/" + name;
      TRY_IN(add(directory_fd, name, child, depth), "\"{}\"", child);
    }
    return {};
  }

  Result<> add(int directory_fd, const std::string& name, const std::string& path, int depth) {
    if (name.starts_with(".wh.")) {
      return fail(ErrorCode::kInvalidArgument, "the prefix \".wh.\" is reserved in layers");
    }
    struct stat status{};
    if (fstatat(directory_fd, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno("stat");
    }
    if (S_ISSOCK(status.st_mode)) return {};
    if (S_ISDIR(status.st_mode)) {
      const UniqueFd fd = TRY(open_at(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      TRY(add_header(path, fd.get(), name, status));
      return add_children(fd.get(), path, depth + 1);
    }
    if (!S_ISREG(status.st_mode)) return add_header(path, directory_fd, name, status);
    const UniqueFd fd = TRY(open_at(directory_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    TRY(add_header(path, fd.get(), name, status));
    return {};
  }

  // `fd` is the thing itself for files and directories, else the directory it is in.
  Result<> add_header(const std::string& path, int fd, const std::string& name,
                      const struct stat& status) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), path.c_str());
    archive_entry_set_filetype(entry.get(), status.st_mode & S_IFMT);
    archive_entry_set_perm(entry.get(), status.st_mode & 07777);
    archive_entry_set_uid(entry.get(), status.st_uid);
    archive_entry_set_gid(entry.get(), status.st_gid);
    archive_entry_set_mtime(entry.get(), status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    archive_entry_set_size(entry.get(), 0);
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      const auto [first, is_new] = links_.try_emplace({status.st_dev, status.st_ino}, path);
      if (!is_new) {
        archive_entry_set_hardlink(entry.get(), first->second.c_str());
        return write_header(entry.get());
      }
    }
    if (S_ISLNK(status.st_mode)) TRY(set_target(entry.get(), fd, name));
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
      archive_entry_set_rdevmajor(entry.get(), major(status.st_rdev));
      archive_entry_set_rdevminor(entry.get(), minor(status.st_rdev));
    }
    if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) TRY(set_xattrs(entry.get(), fd));
    if (!S_ISREG(status.st_mode)) return write_header(entry.get());
    archive_entry_set_size(entry.get(), status.st_size);
    TRY(set_holes(entry.get(), fd, status));
    TRY(write_header(entry.get()));
    return write_content(fd, status.st_size);
  }

  Result<> write_header(archive_entry* entry) {
    const int written = archive_write_header(writer_.get(), entry);
    if (written == ARCHIVE_OK || written == ARCHIVE_WARN) return {};
    return std::unexpected(error("write the tar header"));
  }

  Result<> set_target(archive_entry* entry, int directory_fd, const std::string& name) {
    std::array<char, PATH_MAX> target{};
    if (readlinkat(directory_fd, name.c_str(), target.data(), target.size() - 1) < 0) {
      return fail_errno("read the symbolic link");
    }
    archive_entry_set_symlink(entry, target.data());
    return {};
  }

  // What unpacking keeps: see parse_layer_entry.
  Result<> set_xattrs(archive_entry* entry, int fd) {
    std::vector<char> names(XATTR_LIST_MAX);
    const ssize_t length = flistxattr(fd, names.data(), names.size());
    if (length < 0 && errno == ENOTSUP) return {};
    if (length < 0) return fail_errno("list the attributes");
    for (const char* name = names.data(); name < names.data() + length;
         name += std::string_view(name).size() + 1) {
      const std::string_view key = name;
      const bool kept = (key.starts_with("user.") && !key.starts_with("user.overlay.")) ||
                        key == "security.capability";
      if (!kept) continue;
      std::vector<char> value(XATTR_SIZE_MAX);
      const ssize_t size = fgetxattr(fd, name, value.data(), value.size());
      if (size < 0) return fail_errno("read the attribute \"{}\"", key);
      archive_entry_xattr_add_entry(entry, name, value.data(), static_cast<size_t>(size));
    }
    return {};
  }

  // Tells the format where the data are, when there are holes at all.
  Result<> set_holes(archive_entry* entry, int fd, const struct stat& status) {
    const off_t size = status.st_size;
    if (status.st_blocks * 512 >= size) return {};
    off_t position = 0;
    while (position < size) {
      const off_t data = lseek(fd, position, SEEK_DATA);
      if (data < 0) break;  // ENXIO: a hole to the end
      const off_t end = lseek(fd, data, SEEK_HOLE);
      if (end < 0) return fail_errno("look for holes");
      archive_entry_sparse_add_entry(entry, data, end - data);
      position = end;
    }
    // The format knows an all-hole file by an empty piece at its end.
    if (archive_entry_sparse_count(entry) == 0) archive_entry_sparse_add_entry(entry, size, 0);
    if (lseek(fd, 0, SEEK_SET) < 0) return fail_errno("seek");
    return {};
  }

  Result<> write_content(int fd, off_t size) {
    off_t written = 0;
    while (written < size) {
      const ssize_t count = pread(fd, buffer_.data(), buffer_.size(), written);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return fail_errno("read");
      if (count == 0) return fail(ErrorCode::kSystem, "the file shrank while it was read");
      const auto usable = static_cast<size_t>(std::min<off_t>(count, size - written));
      if (archive_write_data(writer_.get(), buffer_.data(), usable) < 0) {
        return std::unexpected(error("write to the tar"));
      }
      written += static_cast<off_t>(usable);
    }
    return {};
  }

  BlobWriter& blob_;
  ArchiveLocale locale_;
  std::unique_ptr<archive, FreeWriter> writer_;
  std::vector<char> buffer_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
  std::optional<Error> failure_;
};

}  // namespace

Result<std::string> put_tree(const Store& store, int directory_fd) {
  BlobWriter blob = TRY(store.write_new_blob(max_tar_bytes(store.limits())));
  {
    TreeArchiver archiver(blob);
    TRY(archiver.run(directory_fd));
  }
  TRY(blob.commit());
  return blob.digest();
}

Result<Image> import_rootfs_directory(const Store& store, int directory_fd, const Reference& name) {
  const std::string layer = TRY(put_tree(store, directory_fd));
  return import_rootfs_layer(store, layer, layer, name, rootfs_config());
}

}  // namespace trivet::image
