#include "copy/place.h"

#include <algorithm>
#include <fcntl.h>

#include "base/fs.h"

namespace trivet::copy {

namespace {

// Copies everything in a directory into another that exists, leaving the latter's own mode alone.
Result<> copy_all(int source, int target, const CopyOptions& options) {
  for (const std::string& name : TRY(list_dir(source, "."))) {
    TRY(copy_entry(source, name, target, name, options));
  }
  return {};
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

Result<UniqueFd> Side::open(const std::string& inner, int flags) const {
  auto fd = root ? open_in_root(root.get(), inner, flags) : open_file(inner, flags);
  if (fd || fd.error().errnum() != ENOENT) return fd;
  return std::unexpected(std::move(fd).error().with_code(ErrorCode::kNotFound));
}

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

// The destination itself may be a symlink to a directory: it is followed, inside its root.
Result<Destination> find_destination(const CopyPath& source, bool source_is_directory,
                                     const Side& to) {
  if (auto target = to.open(to.path, O_RDONLY | O_DIRECTORY)) {
    const bool contents = source_is_directory && (source.contents || source.name.empty());
    return Destination{.directory = std::move(*target),
                       .name = contents ? std::string() : source.name};
  }
  const CopyPath path = parse_copy_path(to.path);
  if (path.must_be_directory && !source_is_directory) {
    return fail(ErrorCode::kNotFound, "\"{}\" is not a directory", to.label);
  }
  UniqueFd parent = TRY_IN(to.open(path.parent, O_RDONLY | O_DIRECTORY), "\"{}\"", to.label);
  return Destination{.directory = std::move(parent), .name = path.name};
}

Result<> copy_between(const Side& from, const Side& to, const CopyOptions& options) {
  const Found source = TRY(find_source(from));
  const Destination target =
      TRY(find_destination(parse_copy_path(from.path), S_ISDIR(source.status.st_mode), to));
  const auto copy = [&]() -> Result<> {
    if (!target.name.empty()) {
      return copy_entry(source.parent.get(), source.name, target.directory.get(), target.name,
                        options);
    }
    const UniqueFd directory =
        TRY(open_at(source.parent.get(), source.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    return copy_all(directory.get(), target.directory.get(), options);
  };
  TRY_IN(copy(), "copy \"{}\" to \"{}\"", from.label, to.label);
  return {};
}

}  // namespace trivet::copy
