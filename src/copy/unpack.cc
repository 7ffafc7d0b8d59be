#include "copy/unpack.h"

#include <array>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"

namespace trivet::copy {

namespace {

using Type = TarEntry::Type;

bool is_in(const std::string& path, const std::string& directory) {
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

// What is in the way goes away, unless it is a directory.
Result<> clear_way(int parent, const std::string& name) {
  if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno == EISDIR || errno == EPERM) {
    return fail(ErrorCode::kAlreadyExists, "\"{}\" is a directory, and a file would replace it",
                name);
  }
  return fail_errno("unlink \"{}\"", name);
}

// A mount point, such as a container's /etc/hosts, can't be replaced: it is overwritten.
Result<UniqueFd> make_file(int parent, const std::string& name) {
  const auto cleared = clear_way(parent, name);
  if (cleared) return open_at(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (cleared.error().errnum() != EBUSY) return std::unexpected(cleared.error());
  return open_at(parent, name, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
}

std::array<timespec, 2> times_of(const TarEntry& entry) {
  return {timespec{.tv_sec = 0, .tv_nsec = UTIME_OMIT},
          timespec{.tv_sec = entry.mtime, .tv_nsec = long{entry.mtime_ns}}};
}

mode_t node_type(Type type) {
  switch (type) {
    case Type::kCharacterDevice:
      return S_IFCHR;
    case Type::kBlockDevice:
      return S_IFBLK;
    default:
      return S_IFIFO;
  }
}

}  // namespace

// Component by component, none of them a symlink.
Result<UniqueFd> Unpacker::open_directory(const std::string& path) const {
  UniqueFd current = TRY(open_at(root_, ".", O_RDONLY | O_DIRECTORY));
  if (path.empty()) return current;
  for (const std::string& part : split(path, '/')) {
    current = TRY(open_at(current.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  }
  return current;
}

// Neighbours in the stream mostly have the same parent.
Result<Unpacker::Parent> Unpacker::open_parent(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "" : path.substr(0, slash);
  if (!parent_ || parent != parent_path_) {
    if (options_.parents == UnpackOptions::Parents::kMadeByStream || parent.empty()) {
      parent_ = TRY(open_directory(parent));
    } else {
      const UniqueFd made = TRY(make_dirs_in_root(root_, parent));
      parent_ = TRY(open_at(made.get(), ".", O_RDONLY | O_DIRECTORY));
    }
    parent_path_ = parent;
  }
  return Parent{.fd = parent_.get(),
                .name = slash == std::string::npos ? path : path.substr(slash + 1)};
}

// The stream has gone on to something that is not in these directories: they are complete.
Result<> Unpacker::leave_directories(const std::string& next) {
  while (!open_.empty() && !is_in(next, open_.back().path)) {
    const Directory done = std::move(open_.back());
    open_.pop_back();
    const Parent parent = TRY(open_parent(done.path));
    const UniqueFd fd = TRY(open_at(parent.fd, parent.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    TRY(apply(fd.get(), done.entry));
  }
  return {};
}

Result<> Unpacker::apply(int fd, const TarEntry& entry) const {
  const auto [uid, gid] = options_.owner.value_or(std::pair(entry.uid, entry.gid));
  if (fchown(fd, uid, gid) != 0) return fail_errno("chown \"{}\"", entry.path);
  const bool hostile = options_.trust == UnpackOptions::Trust::kHostile;
  if (fchmod(fd, entry.mode & (hostile ? 01777U : 07777U)) != 0) {
    return fail_errno("chmod \"{}\"", entry.path);
  }
  if (futimens(fd, times_of(entry).data()) != 0) return fail_errno("utimensat \"{}\"", entry.path);
  return {};
}

Result<> Unpacker::apply_to_name(const Parent& parent, const TarEntry& entry) const {
  const auto [uid, gid] = options_.owner.value_or(std::pair(entry.uid, entry.gid));
  const char* name = parent.name.c_str();
  if (fchownat(parent.fd, name, uid, gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("chown \"{}\"", entry.path);
  }
  if (utimensat(parent.fd, name, times_of(entry).data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("utimensat \"{}\"", entry.path);
  }
  return {};
}

Result<> Unpacker::make_directory(const Parent& parent) {
  if (mkdirat(parent.fd, parent.name.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return fail_errno("mkdir \"{}\"", parent.name);
  struct stat status{};
  if (fstatat(parent.fd, parent.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISDIR(status.st_mode)) {
    return {};
  }
  return fail(ErrorCode::kAlreadyExists, "\"{}\" is a file, and a directory would replace it",
              parent.name);
}

Result<> Unpacker::make_hard_link(const TarEntry& entry, const Parent& parent) const {
  if (options_.trust == UnpackOptions::Trust::kHostile) {
    return fail(ErrorCode::kCorrupt, "tar stream: \"{}\" is a hard link", entry.path);
  }
  const size_t slash = entry.target.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : entry.target.substr(0, slash);
  const std::string name = entry.target.substr(slash == std::string::npos ? 0 : slash + 1);
  const UniqueFd old = TRY(open_in_root(root_, directory, O_PATH | O_DIRECTORY));
  TRY(clear_way(parent.fd, parent.name));
  if (linkat(old.get(), name.c_str(), parent.fd, parent.name.c_str(), 0) == 0) return {};
  return fail_errno("link \"{}\"", entry.path);
}

Result<> Unpacker::make_node(const TarEntry& entry, const Parent& parent) {
  const bool is_device = entry.type != Type::kFifo;
  if (is_device && options_.trust == UnpackOptions::Trust::kHostile) return {};
  TRY(clear_way(parent.fd, parent.name));
  const char* name = parent.name.c_str();
  const mode_t mode = entry.mode & 0777U;
  if (mknodat(parent.fd, name, node_type(entry.type) | mode, makedev(entry.major, entry.minor)) !=
      0) {
    return fail_errno("mknod \"{}\"", entry.path);
  }
  return apply_to_name(parent, entry);
}

Result<> Unpacker::make(const TarEntry& entry, const Parent& parent) {
  switch (entry.type) {
    case Type::kFile:
      file_ = TRY(make_file(parent.fd, parent.name));
      file_entry_ = entry;
      return {};
    case Type::kDirectory:
      return make_directory(parent);
    case Type::kHardLink:
      return make_hard_link(entry, parent);
    case Type::kSymlink:
      TRY(clear_way(parent.fd, parent.name));
      if (symlinkat(entry.target.c_str(), parent.fd, parent.name.c_str()) != 0) {
        return fail_errno("symlink \"{}\"", entry.path);
      }
      return apply_to_name(parent, entry);
    default:
      return make_node(entry, parent);
  }
}

Result<> Unpacker::begin(const TarEntry& entry, const std::string& path) {
  TRY(leave_directories(path));
  if (path.empty()) {
    if (entry.type == Type::kDirectory) return {};
    return fail(ErrorCode::kCorrupt, "tar stream: \"{}\" is no directory", entry.path);
  }
  TRY(make(entry, TRY(open_parent(path))));
  if (entry.type == Type::kDirectory) open_.push_back({.path = path, .entry = entry});
  return {};
}

Result<> Unpacker::write(std::string_view piece) {
  return write_all(file_.get(), piece, file_entry_.path);
}

Result<> Unpacker::finish_file() {
  const UniqueFd file = std::move(file_);
  return file ? apply(file.get(), file_entry_) : Result<>();
}

Result<> Unpacker::add(const TarEntry& entry, const std::string& path, TarReader& reader) {
  TRY(begin(entry, path));
  if (!file_) return {};
  for (;;) {
    const std::string_view piece = TRY(reader.read());
    if (piece.empty()) return finish_file();
    TRY(write(piece));
  }
}

Result<> Unpacker::finish() {
  return leave_directories("");
}

}  // namespace trivet::copy
