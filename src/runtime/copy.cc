#include "runtime/copy.h"

#include <algorithm>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/overlay_view.h"
#include "runtime/copy_tree.h"
#include "runtime/mount_request.h"
#include "runtime/stored_options.h"

namespace trivet::runtime {

namespace {

// One side of a copy: a directory tree in which paths are resolved, and a path in it.
struct Side {
  UniqueFd root;      // invalid: the host, with its own rules for paths
  std::string path;   // as typed
  std::string label;  // for errors: "web:/etc"

  [[nodiscard]] Result<UniqueFd> open(const std::string& inner, int flags) const {
    auto fd = root ? open_in_root(root.get(), inner, flags) : open_file(inner, flags);
    if (fd || fd.error().errnum() != ENOENT) return fd;
    return std::unexpected(std::move(fd).error().with_code(ErrorCode::kNotFound));
  }
};

// An entry that exists: a name in a directory that is open.
struct Found {
  UniqueFd parent;
  std::string name;
  struct stat status{};
};

Result<Found> find_source(const Side& side) {
  const CopyPath path = parse_copy_path(side.path);
  Found found;
  if (path.name.empty() || path.contents || path.must_be_directory) {
    // A trailing slash follows a symlink, and "/" has no parent to look it up in.
    const std::string whole = path.name.empty() ? path.parent : path.parent + "/" + path.name;
    found.parent = TRY_IN(side.open(whole, O_RDONLY | O_DIRECTORY), "\"{}\"", side.label);
    found.name.assign(1, '.');
  } else {
    found.parent = TRY_IN(side.open(path.parent, O_RDONLY | O_DIRECTORY), "\"{}\"", side.label);
    found.name = path.name;
  }
  if (fstatat(found.parent.get(), found.name.c_str(), &found.status, AT_SYMLINK_NOFOLLOW) == 0) {
    return found;
  }
  if (errno != ENOENT) return fail_errno("stat \"{}\"", side.label);
  return fail(ErrorCode::kNotFound, "\"{}\" does not exist", side.label);
}

// The name that a source gets in an existing directory.
std::string name_of(const Side& source) {
  const CopyPath path = parse_copy_path(source.path);
  return path.name;
}

// Copies everything in a directory into another that exists, leaving the latter's own mode alone.
Result<> copy_all(int source, int target, const CopyOptions& options) {
  for (const std::string& name : TRY(list_dir(source, "."))) {
    TRY(copy_entry(source, name, target, name, options));
  }
  return {};
}

Result<> copy_directory_into(const Found& source, const Side& from, UniqueFd target,
                             const CopyOptions& options) {
  const CopyPath path = parse_copy_path(from.path);
  const UniqueFd directory =
      TRY(open_at(source.parent.get(), source.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (path.contents || path.name.empty()) return copy_all(directory.get(), target.get(), options);
  const std::string name = name_of(from);
  if (mkdirat(target.get(), name.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno("mkdir \"{}\"", name);
  }
  const UniqueFd made = TRY(open_at(target.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return copy_contents(directory.get(), made.get(), options);
}

// The destination does not exist, or is no directory: the source becomes it.
Result<> copy_as(const Found& source, const Side& from, const Side& to,
                 const CopyOptions& options) {
  const CopyPath path = parse_copy_path(to.path);
  const bool directory = S_ISDIR(source.status.st_mode);
  if (path.must_be_directory && !directory) {
    return fail(ErrorCode::kNotFound, "\"{}\" is not a directory", to.label);
  }
  const UniqueFd parent = TRY_IN(to.open(path.parent, O_RDONLY | O_DIRECTORY), "\"{}\"", to.label);
  TRY_IN(copy_entry(source.parent.get(), source.name, parent.get(), path.name, options),
         "copy \"{}\" to \"{}\"", from.label, to.label);
  return {};
}

Result<> copy_between(const Side& from, const Side& to, const CopyOptions& options) {
  const Found source = TRY(find_source(from));
  // The destination itself may be a symlink to a directory: it is followed, inside its root.
  auto target = to.open(to.path, O_RDONLY | O_DIRECTORY);
  if (!target) return copy_as(source, from, to, options);
  if (S_ISDIR(source.status.st_mode)) {
    TRY_IN(copy_directory_into(source, from, std::move(*target), options), "copy \"{}\" to \"{}\"",
           from.label, to.label);
    return {};
  }
  TRY_IN(copy_entry(source.parent.get(), source.name, target->get(), name_of(from), options),
         "copy \"{}\" to \"{}\"", from.label, to.label);
  return {};
}

Result<Side> container_side(const Home& home, const Observed& observed, const std::string& path) {
  if (path.empty()) return fail(ErrorCode::kInvalidArgument, "a path in the container is needed");
  Entrance entrance = TRY(open_entrance(home, observed, path.front() == '/' ? path : "/" + path));
  return Side{.root = std::move(entrance.root),
              .path = std::move(entrance.path),
              .label = fmt::format("{}:{}", observed.record.name, path)};
}

Side host_side(const std::string& path) {
  return {.root = {}, .path = path, .label = path};
}

Result<UniqueFd> open_running_root(const Observed& observed) {
  const UniqueFd pidfd = TRY(open_pidfd(observed.status.init));
  UniqueFd root =
      TRY(open_file(fmt::format("/proc/{}/root", observed.status.init.pid), O_PATH | O_DIRECTORY));
  // Still the same process: then the root was its, too.
  TRY(send_signal(pidfd.get(), 0));
  return root;
}

Result<UniqueFd> open_stopped_root(const Observed& observed) {
  if (observed.record.overlay) return container::open_overlay(*observed.record.overlay);
  return open_file(observed.record.rootfs, O_PATH | O_DIRECTORY);
}

// The mount that covers a path, deepest first.
struct Cover {
  std::string source;
  std::string rest;
};
std::optional<Cover> find_cover(const monitor::Record& record, const std::string& path) {
  std::optional<Cover> best;
  size_t best_length = 0;
  for (const StoredMount& mount : stored_mounts(record.options_json)) {
    const std::string& destination = mount.destination;
    const bool covers = path == destination || path.starts_with(destination + "/");
    if (!covers || mount.source.empty() || destination.size() < best_length) continue;
    best_length = destination.size();
    best = Cover{.source = mount.source, .rest = path.substr(destination.size())};
  }
  return best;
}

}  // namespace

CopyPath parse_copy_path(const std::string& path) {
  CopyPath parsed;
  std::string rest = path;
  parsed.contents = rest == "." || rest.ends_with("/.");
  if (parsed.contents) rest.pop_back();
  parsed.must_be_directory = rest.ends_with('/');
  while (rest.size() > 1 && rest.ends_with('/')) rest.pop_back();
  const size_t slash = rest.find_last_of('/');
  parsed.parent = slash == std::string::npos ? "." : rest.substr(0, std::max<size_t>(slash, 1));
  parsed.name = slash == std::string::npos ? rest : rest.substr(slash + 1);
  // "..": the directory it names, not an entry of that name.
  if (parsed.name == "..") {
    parsed.parent += "/..";
    parsed.name.clear();
  }
  return parsed;
}

Result<Entrance> open_entrance(const Home&, const Observed& observed, const std::string& path) {
  if (observed.init_alive) {
    UniqueFd root = TRY(open_running_root(observed));
    return Entrance{.root = std::move(root), .path = path};
  }
  const std::string normal = TRY(normal_path(path));
  const auto cover = find_cover(observed.record, normal);
  if (!cover) {
    UniqueFd root = TRY(open_stopped_root(observed));
    return Entrance{.root = std::move(root), .path = path};
  }
  struct stat status{};
  if (stat(cover->source.c_str(), &status) != 0) return fail_errno("stat \"{}\"", cover->source);
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::kUnsupported, "\"{}\" is a single file mounted from \"{}\": use that",
                path, cover->source);
  }
  const std::string tail = path.ends_with("/.") ? "/." : path.ends_with("/") ? "/" : "";
  UniqueFd root = TRY(open_file(cover->source, O_PATH | O_DIRECTORY));
  return Entrance{.root = std::move(root),
                  .path = (cover->rest.empty() ? "/" : cover->rest) + tail};
}

Result<> copy_out(const Home& home, const Observed& observed, const std::string& path,
                  const std::string& host_path) {
  const Side from = TRY(container_side(home, observed, path));
  if (host_path == "-") {
    const Found source = TRY(find_source(from));
    return write_tar(source.parent.get(), source.name, STDOUT_FILENO);
  }
  return copy_between(from, host_side(host_path),
                      {.owner = std::pair(geteuid(), getegid()), .xattrs = false});
}

Result<> copy_in(const Home& home, const Observed& observed, const std::string& host_path,
                 const std::string& path) {
  const Side to = TRY(container_side(home, observed, path));
  if (host_path == "-") {
    const UniqueFd directory = TRY_IN(to.open(to.path, O_RDONLY | O_DIRECTORY), "\"{}\"", to.label);
    return read_tar(STDIN_FILENO, directory.get());
  }
  return copy_between(host_side(host_path), to, {.owner = std::pair(0U, 0U), .xattrs = false});
}

}  // namespace trivet::runtime
