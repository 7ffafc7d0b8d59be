// Looking a file up in a stack of layers without mounting it.
#include <array>
#include <deque>
#include <fcntl.h>
#include <limits.h>
#include <optional>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/bundle.h"

namespace trivet::image {

namespace {

constexpr int kMaxLinks = 40;  // as the kernel's

// A directory of the merged view: the directories of the layers it is made of, topmost first.
using Stack = std::vector<UniqueFd>;

Result<Stack> open_roots(const std::vector<std::string>& layer_directories) {
  Stack roots;
  for (const std::string& path : layer_directories) {
    roots.push_back(TRY(open_file(path, O_PATH | O_DIRECTORY)));
  }
  return roots;
}

bool is_opaque(int directory_fd) {
  // An O_PATH descriptor has no attributes; its name below /proc does.
  const std::string path = fmt::format("/proc/self/fd/{}", directory_fd);
  for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
    char value = 0;
    if (getxattr(path.c_str(), name, &value, 1) == 1 && value == 'y') return true;
  }
  return false;
}

// What a name of a merged directory is: a directory again, or the topmost thing of another kind.
struct Found {
  Stack directories;
  UniqueFd thing;  // O_PATH
  mode_t type = 0;
};

Result<Found> look_up(const Stack& stack, const std::string& name) {
  Found found;
  for (const UniqueFd& layer : stack) {
    auto opened = open_at(layer.get(), name, O_PATH | O_NOFOLLOW);
    if (!opened && opened.error().errnum() == ENOENT) continue;
    if (!opened) return std::unexpected(std::move(opened).error());
    struct stat status{};
    if (fstat(opened->get(), &status) != 0) return fail_errno("stat \"{}\"", name);
    if (S_ISCHR(status.st_mode) && status.st_rdev == 0) break;  // a whiteout
    if (!S_ISDIR(status.st_mode)) {
      // Below a directory of a higher layer a file is not visible.
      if (found.directories.empty()) {
        found.thing = std::move(*opened);
        found.type = status.st_mode & S_IFMT;
      }
      break;
    }
    const bool opaque = is_opaque(opened->get());
    found.directories.push_back(std::move(*opened));
    if (opaque) break;
  }
  if (!found.thing && found.directories.empty()) {
    return std::unexpected(Error::from_errno(ENOENT, fmt::format("look up \"{}\"", name)));
  }
  return found;
}

Result<std::string> read_link(int fd) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = readlinkat(fd, "", target.data(), target.size());
  if (length < 0) return fail_errno("read a symbolic link");
  return std::string(target.data(), static_cast<size_t>(length));
}

// The components still to walk, from the root: symbolic links are put in their place as text.
void prepend(std::deque<std::string>& rest, std::string_view path) {
  const auto parts = split(path, '/');
  rest.insert(rest.begin(), parts.begin(), parts.end());
}

}  // namespace

Result<UniqueFd> open_in_layers(const std::vector<std::string>& layer_directories,
                                std::string_view path) {
  std::vector<Stack> walked;  // from the root to where we are
  walked.push_back(TRY(open_roots(layer_directories)));
  std::deque<std::string> rest;
  prepend(rest, path);
  int links = 0;
  while (!rest.empty()) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (walked.size() > 1) walked.pop_back();
      continue;
    }
    Found found = TRY_IN(look_up(walked.back(), name), "\"{}\"", path);
    if (!found.thing) {
      walked.push_back(std::move(found.directories));
      continue;
    }
    if (found.type == S_IFLNK) {
      if (++links > kMaxLinks) {
        return std::unexpected(Error::from_errno(ELOOP, fmt::format("look up \"{}\"", path)));
      }
      const std::string target = TRY(read_link(found.thing.get()));
      if (target.starts_with('/')) walked.resize(1);
      prepend(rest, target);
      continue;
    }
    if (!rest.empty() || found.type != S_IFREG) break;
    return open_file(fmt::format("/proc/self/fd/{}", found.thing.get()), O_RDONLY);
  }
  return fail(ErrorCode::kNotFound, "\"{}\" is no file in the image", path);
}

}  // namespace trivet::image
