#include "image/unpack_writer.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "base/user_root.h"
#include "oci/wasm_module.h"

namespace trivet::image {

namespace {

// Deeper trees can't be walked with a descriptor a level under the usual limit of 1024.
constexpr long kMaxDepth = 400;
constexpr mode_t kDirectoryMode = 0755;  // of a directory that has no entry of its own
constexpr mode_t kWorkMode = 0700;       // until its attributes are set

Result<std::string> path_of_fd(int fd) {
  std::array<char, PATH_MAX> buffer{};
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  const ssize_t length = readlink(link.c_str(), buffer.data(), buffer.size());
  if (length < 0) return fail_errno("read the link \"{}\"", link);
  return std::string(buffer.data(), static_cast<size_t>(length));
}

bool can_miss_ids() {
  return geteuid() != 0 || has_one_id();
}

bool can_miss_privileges() {
  return geteuid() != 0 || in_user_namespace();
}

// The errors of a path walk that the image is to blame for.
std::unexpected<Error> walk_error(Error error, const std::string& directory) {
  switch (error.errnum()) {
    case ELOOP:
      return fail(ErrorCode::kCorrupt,
                  "directory \"{}\": symbolic links form a loop or a chain of more than 40",
                  directory);
    case ENOTDIR:
      return fail(ErrorCode::kCorrupt, "\"{}\" is no directory, yet something is to be inside",
                  directory);
    case ENAMETOOLONG:
      return fail(ErrorCode::kCorrupt, "a path is too long");
    default:
      return std::unexpected(std::move(error));
  }
}

}  // namespace

Result<LayerWriter> LayerWriter::create(int root_fd, const Limits& limits, Whiteouts whiteouts) {
  std::string path = TRY(path_of_fd(root_fd));
  return LayerWriter(root_fd, limits, whiteouts, std::move(path));
}

Result<> LayerWriter::add(const LayerEntry& entry, LayerSource& source) {
  if (++files_ > limits_.files_per_layer) {
    return fail(ErrorCode::kLimitExceeded, "more than {} files in a layer",
                limits_.files_per_layer);
  }
  using Type = LayerEntry::Type;
  if (entry.type == Type::kSkipped) return {};
  if (entry.type == Type::kWhiteout || entry.type == Type::kOpaque) {
    if (whiteouts_mode_ == Whiteouts::kIgnore) return {};
    if (entry.type == Type::kWhiteout) {
      whiteouts_.emplace(entry.path.text(), entry.path);
    } else {
      opaque_.insert(entry.path.text());
    }
    return {};
  }
  if (entry.path.is_root()) {
    directories_[""].attributes = entry.attributes;
    return {};
  }
  const int parent_fd = TRY(parent(entry.path.directory));
  TRY(make_way(parent_fd, entry));
  TRY_IN(make(parent_fd, entry, source), "\"{}\"", entry.path.text());
  return {};
}

// A descriptor of the directory, made with its parents when missing. Most entries are in the same
// directory as the one before: the last one is kept until something is removed.
Result<int> LayerWriter::parent(const std::string& directory) {
  if (cached_fd_ && cached_directory_ == directory) return cached_fd_.get();
  cached_fd_.reset();
  auto opened = open_in_root(root_fd_, directory.empty() ? "." : directory, O_PATH | O_DIRECTORY);
  if (!opened && opened.error().errnum() == ENOENT) opened = make_parents(directory);
  if (!opened) return walk_error(std::move(opened).error(), directory);
  TRY(check_depth(opened->get(), directory));
  cached_fd_ = std::move(*opened);
  cached_directory_ = directory;
  return cached_fd_.get();
}

Result<UniqueFd> LayerWriter::make_parents(const std::string& directory) {
  UniqueFd current = TRY(open_in_root(root_fd_, ".", O_PATH | O_DIRECTORY));
  std::string done;
  for (const std::string& component : split(directory, '/')) {
    const std::string next = done.empty() ? component : done + "/" + component;
    auto opened = open_in_root(root_fd_, next, O_PATH | O_DIRECTORY);
    if (!opened && opened.error().errnum() == ENOENT) {
      if (mkdirat(current.get(), component.c_str(), kWorkMode) != 0) {
        if (errno == EEXIST) {
          return fail(ErrorCode::kCorrupt, "\"{}\" is a symbolic link to nowhere", next);
        }
        return fail_errno("mkdir \"{}\"", next);
      }
      opened = open_in_root(root_fd_, next, O_PATH | O_DIRECTORY);
      struct stat status{};
      if (opened && fstat(opened->get(), &status) == 0) directories_[next].inode = status.st_ino;
    }
    if (!opened) return walk_error(std::move(opened).error(), next);
    current = std::move(*opened);
    TRY(check_depth(current.get(), next));
    done = next;
  }
  return current;
}

// The real place of a directory: inside the root, whatever led there, and not too deep.
Result<> LayerWriter::check_depth(int fd, const std::string& directory) {
  const std::string path = TRY(path_of_fd(fd));
  const bool inside = path.starts_with(root_path_) &&
                      (path.size() == root_path_.size() || path[root_path_.size()] == '/');
  if (!inside) return fail(ErrorCode::kCorrupt, "\"{}\" leaves the root", directory);
  const std::string_view below = std::string_view(path).substr(root_path_.size());
  if (std::ranges::count(below, '/') > kMaxDepth) {
    return fail(ErrorCode::kLimitExceeded, "directories nest deeper than {}", kMaxDepth);
  }
  return {};
}

// Removes what is there under the name of a new entry, unless both are directories.
Result<> LayerWriter::make_way(int parent_fd, const LayerEntry& entry) {
  struct stat status{};
  if (fstatat(parent_fd, entry.path.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("stat \"{}\"", entry.path.text());
  }
  const bool is_directory = S_ISDIR(status.st_mode);
  if (is_directory && entry.type == LayerEntry::Type::kDirectory) return {};
  TRY(remove_tree(parent_fd, entry.path.name));
  if (!is_directory) return {};
  const std::string path = entry.path.text();
  directories_.erase(path);
  directories_.erase(directories_.lower_bound(path + "/"), directories_.lower_bound(path + "0"));
  return {};
}

Result<> LayerWriter::make(int parent_fd, const LayerEntry& entry, LayerSource& source) {
  switch (entry.type) {
    case LayerEntry::Type::kFile:
      return make_file(parent_fd, entry, source);
    case LayerEntry::Type::kDirectory:
      return make_directory(parent_fd, entry);
    case LayerEntry::Type::kSymlink:
      return make_symlink(parent_fd, entry);
    case LayerEntry::Type::kHardLink:
      return make_hard_link(parent_fd, entry);
    default:
      return make_node(parent_fd, entry);
  }
}

Result<> LayerWriter::make_file(int parent_fd, const LayerEntry& entry, LayerSource& source) {
  if (entry.size > limits_.rootfs_bytes) {
    return fail(ErrorCode::kLimitExceeded, "a file of {} is over the limit of {}",
                format_size(entry.size), format_size(limits_.rootfs_bytes));
  }
  const UniqueFd fd =
      TRY(open_at(parent_fd, entry.path.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kWorkMode));
  TRY(copy_content(fd.get(), entry, source));
  return apply_to_fd(fd.get(), entry.attributes);
}

Result<> LayerWriter::copy_content(int fd, const LayerEntry& entry, LayerSource& source) {
  uint64_t end = 0;
  while (const auto piece = TRY(source.read())) {
    if (piece->offset > entry.size || piece->bytes.size() > entry.size - piece->offset) {
      return fail(ErrorCode::kCorrupt, "more content than its size of {} says", entry.size);
    }
    bytes_ += piece->bytes.size();
    if (bytes_ > limits_.rootfs_bytes) {
      return fail(ErrorCode::kLimitExceeded, "the layer unpacks to more than {}",
                  format_size(limits_.rootfs_bytes));
    }
    if (piece->offset != end && lseek(fd, static_cast<off_t>(piece->offset), SEEK_SET) < 0) {
      return fail_errno("seek \"{}\"", entry.path.text());
    }
    TRY(write_all(fd, piece->bytes, entry.path.text()));
    if (piece->offset == 0 && oci::is_wasm(piece->bytes)) has_wasm_ = true;
    end = piece->offset + piece->bytes.size();
  }
  if (end < entry.size && ftruncate(fd, static_cast<off_t>(entry.size)) != 0) {
    return fail_errno("truncate \"{}\"", entry.path.text());
  }
  return {};
}

Result<> LayerWriter::make_directory(int parent_fd, const LayerEntry& entry) {
  const char* name = entry.path.name.c_str();
  if (mkdirat(parent_fd, name, kWorkMode) != 0 && errno != EEXIST) return fail_errno("mkdir");
  struct stat status{};
  if (fstatat(parent_fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno("stat");
  directories_[entry.path.text()] = {.inode = status.st_ino, .attributes = entry.attributes};
  return {};
}

Result<> LayerWriter::make_symlink(int parent_fd, const LayerEntry& entry) {
  if (symlinkat(entry.target.c_str(), parent_fd, entry.path.name.c_str()) != 0) {
    return fail_errno("make the symbolic link");
  }
  return apply_to_name(parent_fd, entry);
}

// The target's directory is resolved like any other; a link as the last component is linked itself.
Result<> LayerWriter::make_hard_link(int parent_fd, const LayerEntry& entry) const {
  const std::string directory = entry.link.directory.empty() ? "." : entry.link.directory;
  auto target = open_in_root(root_fd_, directory, O_PATH | O_DIRECTORY);
  if (!target && target.error().errnum() != ENOENT) {
    return walk_error(std::move(target).error(), directory);
  }
  if (!target ||
      linkat(target->get(), entry.link.name.c_str(), parent_fd, entry.path.name.c_str(), 0) != 0) {
    if (!target || errno == ENOENT) {
      return fail(ErrorCode::kCorrupt, "a hard link to \"{}\", which the layer does not have",
                  entry.link.text());
    }
    return fail_errno("link to \"{}\"", entry.link.text());
  }
  return {};
}

Result<> LayerWriter::make_node(int parent_fd, const LayerEntry& entry) {
  const bool is_fifo = entry.type == LayerEntry::Type::kFifo;
  const mode_t type = is_fifo ? S_IFIFO : entry.device_type;
  const dev_t device = is_fifo ? 0 : entry.device;
  const bool made = mknodat(parent_fd, entry.path.name.c_str(), type | kWorkMode, device) == 0;
  if (!TRY(skippable(made, is_fifo ? "make the fifo" : "make the device", Needs::kPrivilege)))
    return {};
  return apply_to_name(parent_fd, entry);
}

// For steps that an unprivileged user is refused and can live without: true when it was done, false
// when it was skipped. Any other failure, errno, is an error.
Result<bool> LayerWriter::skippable(bool done, std::string_view what, Needs needs) {
  if (done) return true;
  const bool refused = errno == EPERM || errno == EINVAL || errno == EACCES;
  const bool missed = needs == Needs::kId ? can_miss_ids() : can_miss_privileges();
  if (!refused || !missed) {
    auto error = fail_errno("{}", what);
    if (!refused || !in_user_namespace()) return error;
    return std::unexpected(
        std::move(error).error().hint("in a user namespace every id of the image must be mapped: "
                                      "give this user more subordinate ids"));
  }
  ++skipped_;
  return false;
}

Result<> LayerWriter::apply_to_fd(int fd, const Attributes& attributes) {
  mode_t mode = attributes.mode;
  const bool owned = TRY(
      skippable(fchown(fd, attributes.uid, attributes.gid) == 0, "change the owner", Needs::kId));
  // Without its owner a set-id program would run as the wrong one.
  if (!owned) mode &= ~static_cast<mode_t>(S_ISUID | S_ISGID);
  if (fchmod(fd, mode) != 0) return fail_errno("chmod");
  TRY(apply_xattrs(fd, attributes));
  const std::array<timespec, 2> times{attributes.mtime, attributes.mtime};
  if (futimens(fd, times.data()) != 0) return fail_errno("set the time");
  return {};
}

Result<> LayerWriter::apply_to_name(int parent_fd, const LayerEntry& entry) {
  const char* name = entry.path.name.c_str();
  const Attributes& attributes = entry.attributes;
  TRY(skippable(fchownat(parent_fd, name, attributes.uid, attributes.gid, AT_SYMLINK_NOFOLLOW) == 0,
                "change the owner", Needs::kId));
  if (entry.type != LayerEntry::Type::kSymlink &&
      fchmodat(parent_fd, name, attributes.mode, 0) != 0) {
    return fail_errno("chmod");
  }
  const std::array<timespec, 2> times{attributes.mtime, attributes.mtime};
  if (utimensat(parent_fd, name, times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("set the time");
  }
  return {};
}

Result<> LayerWriter::finish() {
  for (const std::string& directory : opaque_) {
    TRY_IN(mark_opaque(directory), "opaque directory \"{}\"", directory);
  }
  // Parents come before what is inside them: under a whiteout nothing is left to hide.
  for (const auto& [path, hidden] : whiteouts_) {
    TRY_IN(mark_whiteout(hidden), "whiteout of \"{}\"", path);
  }
  // Children before their parents, whose attributes may shut them.
  for (auto entry = directories_.rbegin(); entry != directories_.rend(); ++entry) {
    TRY_IN(finish_directory(entry->first, entry->second), "directory \"{}\"", entry->first);
  }
  return {};
}

Result<> LayerWriter::finish_directory(const std::string& path, const Directory& directory) {
  auto fd = open_in_root(root_fd_, path.empty() ? "." : path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd) {
    // Replaced by something else, maybe through a link: it has no attributes of ours to get.
    const int why = fd.error().errnum();
    if (why == ENOENT || why == ENOTDIR || why == ELOOP) return {};
    return std::unexpected(std::move(fd).error());
  }
  struct stat status{};
  if (fstat(fd->get(), &status) != 0) return fail_errno("stat");
  if (!path.empty() && status.st_ino != directory.inode) return {};
  if (directory.attributes) return apply_to_fd(fd->get(), *directory.attributes);
  if (fchmod(fd->get(), kDirectoryMode) != 0) return fail_errno("chmod");
  return {};
}

}  // namespace trivet::image
