#include "payload/microvm/image_disk.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <fcntl.h>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/sha256.h"
#include "base/text.h"
#include "container/overlay_view.h"
#include "payload/microvm/file_identity.h"
#include "payload/microvm/host_facts.h"
#include "payload/microvm/host_tools.h"

namespace trivet::payload::microvm {

namespace {

// Goes up when the way disks are made changes what is in them.
constexpr int kFormat = 1;
constexpr size_t kMaxRecord = 1U << 20U;
constexpr size_t kDigestDigits = 64;
constexpr const char* kPartMark = ".part-";

std::string directory_of(const std::string& data_dir) {
  return data_dir + "/vm/images";
}

struct Record {
  std::vector<std::string> layers;  // HEX, topmost first
  FileIdentity identity;
  // The host's boot it was made in; empty once it is known to be on the disk. Before, the identity
  // does not vouch for the content after the host went down.
  std::string boot_id;
};

std::string print_record(const Record& record) {
  return Json{{"layers", record.layers},
              {"identity", print_identity(record.identity)},
              {"boot_id", record.boot_id}}
      .dump();
}

Result<Record> parse_record(std::string_view text) {
  const Json json = TRY(parse_json(text, "image disk record"));
  const JsonView view(json, "image disk record");
  Record record;
  TRY(view.read("layers", record.layers));
  TRY(view.read("boot_id", record.boot_id));
  if (const auto identity = TRY(view.find("identity"))) {
    record.identity = TRY(parse_identity(*identity));
  }
  return record;
}

// The diff id of "…/layers/HEX/diff"; empty for another path.
std::string layer_of(const std::string& directory) {
  const std::vector<std::string> parts = split(directory, '/');
  if (parts.size() < 3 || parts.back() != "diff" || parts[parts.size() - 3] != "layers") return {};
  const std::string& hex = parts[parts.size() - 2];
  const bool is_digest =
      hex.size() == kDigestDigits && hex.find_first_not_of("0123456789abcdef") == std::string::npos;
  return is_digest ? hex : std::string();
}

struct Paths {
  std::string directory;
  std::string key;
  [[nodiscard]] std::string disk() const { return fmt::format("{}/{}.erofs", directory, key); }
  [[nodiscard]] std::string record() const { return fmt::format("{}/{}.json", directory, key); }
  [[nodiscard]] std::string lock() const { return fmt::format("{}/{}.lock", directory, key); }
};

// Waiting for the disk would double the time of the first start. The kernel has written a file of
// this age by itself, so that one more look at it costs nothing.
constexpr time_t kWrittenSeconds = 90;

void settle(const Paths& paths, Record record, int fd, const struct stat& status) {
  if (time(nullptr) - status.st_ctim.tv_sec < kWrittenSeconds || fsync(fd) != 0) return;
  record.boot_id.clear();
  (void)replace_file(AT_FDCWD, paths.record(), print_record(record));
}

// Nothing when there is none, or it is not the recorded file.
std::optional<ImageDisk> open_recorded(const Paths& paths) {
  const auto text = read_file(paths.record(), kMaxRecord);
  if (!text) return std::nullopt;
  const auto record = parse_record(*text);
  auto fd = open_file(paths.disk(), O_RDONLY | O_NOFOLLOW);
  struct stat status{};
  if (!record || !fd || fstat(fd->get(), &status) != 0 || identity_of(status) != record->identity) {
    return std::nullopt;
  }
  if (!record->boot_id.empty()) {
    if (record->boot_id != boot_id()) return std::nullopt;
    settle(paths, *record, fd->get(), status);
  }
  // Its last use, for the limit.
  (void)utimensat(AT_FDCWD, paths.record().c_str(), nullptr, 0);
  return ImageDisk{
      .fd = std::move(*fd), .path = paths.disk(), .size = static_cast<uint64_t>(status.st_size)};
}

// A UUID from the key, so that the same image is the same file system everywhere.
std::string uuid_of(const std::string& key) {
  return fmt::format("{}-{}-4{}-8{}-{}", key.substr(0, 8), key.substr(8, 4), key.substr(12, 3),
                     key.substr(15, 3), key.substr(18, 12));
}

// Looks for directories that list names which nobody can look at: the whiteouts of a directory that
// only one layer has, since overlays hide them where they merge directories only. Such a directory
// is copied into the overlay's upper layer with all its attributes, as any change of it is, and so
// becomes a merged one. Returns whether there was one.
Result<bool> merge_haunted(int root, const std::string& path) {
  bool haunted = false;
  bool found = false;
  for (const std::string& name : TRY(list_dir(root, path))) {
    const std::string below = path + "/" + name;
    struct stat status{};
    if (fstatat(root, below.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) return fail_errno("stat \"{}\"", below);
      haunted = true;
    } else if (S_ISDIR(status.st_mode)) {
      found |= TRY(merge_haunted(root, below));
    }
  }
  if (!haunted) return found;
  struct stat status{};
  if (fstatat(root, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("stat \"{}\"", path);
  }
  const std::array<timespec, 2> times{status.st_atim, status.st_mtim};
  if (utimensat(root, path.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return fail_errno("set the times of \"{}\"", path);
  }
  return true;
}

Result<> run_mkfs(const std::string& part, const std::string& key, int tree) {
  const std::string root = part + "/root";
  return run_tool({.argv = {"mkfs.erofs", "--quiet", "-U", uuid_of(key), part + "/disk", root},
                   .package = "erofs-utils",
                   .mount_point = root,
                   .mounted = tree});
}

Result<> write_disk(const std::string& part, const std::string& key,
                    const std::vector<std::string>& lower_directories) {
  for (const char* name : {"/root", "/empty", "/upper", "/work"}) TRY(make_dirs(part + name));
  // An empty directory lies below the lowest layer: an overlay needs two, and a whiteout in the
  // lowest one must not be seen either.
  container::OverlayRoot overlay{.lower_directories = lower_directories};
  overlay.lower_directories.push_back(part + "/empty");
  const UniqueFd tree = TRY(container::open_overlay(overlay));
  auto done = run_mkfs(part, key, tree.get());
  if (done || done.error().code() != ErrorCode::kSystem) return done;
  // mkfs.erofs gives up at the first name without a file. They are rare: nobody looks before.
  overlay.upper_directory = part + "/upper";
  overlay.work_directory = part + "/work";
  const UniqueFd merged = TRY(container::open_overlay(overlay));
  if (!TRY(merge_haunted(merged.get(), "."))) return done;
  TRY(remove_tree(AT_FDCWD, part + "/disk"));
  return run_mkfs(part, key, merged.get());
}

Result<> publish(const std::string& part, const Paths& paths, Record record) {
  const std::string made = part + "/disk";
  if (chmod(made.c_str(), 0644) != 0) return fail_errno("chmod \"{}\"", made);
  if (rename(made.c_str(), paths.disk().c_str()) != 0) {
    return fail_errno("rename \"{}\" to \"{}\"", made, paths.disk());
  }
  record.identity = TRY(identify_file(AT_FDCWD, paths.disk()));
  record.boot_id = boot_id();
  return replace_file(AT_FDCWD, paths.record(), print_record(record));
}

Result<> make_disk(const Paths& paths, const std::vector<std::string>& lower_directories) {
  const std::string part =
      fmt::format("{}/{}{}{}", paths.directory, paths.key, kPartMark, random_hex(8));
  Rollback rollback;
  rollback.add([&part] { return remove_tree(AT_FDCWD, part); });
  Record record;
  for (const std::string& directory : lower_directories) {
    record.layers.push_back(layer_of(directory));
  }
  auto done = write_disk(part, paths.key, lower_directories);
  if (done) done = publish(part, paths, std::move(record));
  if (!done) return std::unexpected(rollback.fail(std::move(done).error()));
  return {};
}

// The names of a directory's files, by key: "KEY.erofs", "KEY.part-…".
std::map<std::string, std::vector<std::string>> files_by_key(
    const std::vector<std::string>& names) {
  std::map<std::string, std::vector<std::string>> files;
  for (const std::string& name : names) files[name.substr(0, name.find('.'))].push_back(name);
  return files;
}

uint64_t occupied(const std::string& path) {
  struct stat status{};
  if (lstat(path.c_str(), &status) != 0) return 0;
  if (S_ISDIR(status.st_mode)) return disk_usage(AT_FDCWD, path).value_or(0);
  return static_cast<uint64_t>(status.st_blocks) * 512U;
}

// Whether each layer is still there.
bool has_layers(const std::string& data_dir, const Paths& paths) {
  const auto text = read_file(paths.record(), kMaxRecord);
  const auto record = text ? parse_record(*text) : std::unexpected(text.error());
  return record && std::ranges::all_of(record->layers, [&](const std::string& hex) {
           return exists(fmt::format("{}/layers/{}", data_dir, hex));
         });
}

Result<> enforce_limit(const Paths& kept, const ImageDiskLimits& limits) {
  struct Candidate {
    int64_t used = 0;
    Paths paths;
  };
  std::vector<Candidate> candidates;
  uint64_t total = occupied(kept.disk());
  for (const std::string& name : TRY(list_dir(AT_FDCWD, kept.directory))) {
    if (!name.ends_with(".erofs")) continue;
    const Paths paths{.directory = kept.directory, .key = name.substr(0, name.find('.'))};
    if (paths.key == kept.key) continue;
    total += occupied(paths.disk());
    const auto record = identify_file(AT_FDCWD, paths.record());
    candidates.push_back({.used = record ? record->mtime : 0, .paths = paths});
  }
  std::ranges::sort(candidates, {}, &Candidate::used);
  for (const Candidate& candidate : candidates) {
    if (total <= limits.bytes) break;
    total -= std::min(total, occupied(candidate.paths.disk()));
    TRY(remove_tree(AT_FDCWD, candidate.paths.disk()));
    TRY(remove_tree(AT_FDCWD, candidate.paths.record()));
  }
  return {};
}

// The parts that a process left which was killed while it made this disk: the lock is held.
Result<> remove_parts(const Paths& paths) {
  const std::string prefix = paths.key + kPartMark;
  for (const std::string& name : TRY(list_dir(AT_FDCWD, paths.directory))) {
    if (name.starts_with(prefix)) TRY(remove_tree(AT_FDCWD, paths.directory + "/" + name));
  }
  return {};
}

Result<ImageDisk> make_locked(const Paths& paths, const std::vector<std::string>& lower_directories,
                              const ImageDiskLimits& limits) {
  TRY(make_dirs(paths.directory, 0700));
  TRY(require_own_directory(paths.directory));
  const FileLock lock = TRY(FileLock::acquire(AT_FDCWD, paths.lock()));
  // Somebody else may have made it in the meantime.
  if (auto found = open_recorded(paths)) return std::move(*found);
  TRY(remove_parts(paths));
  TRY(make_disk(paths, lower_directories));
  auto made = open_recorded(paths);
  if (!made) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is not what was just written", paths.disk());
  }
  made->made = true;
  TRY(enforce_limit(paths, limits));
  return std::move(*made);
}

}  // namespace

Result<std::string> image_disk_key(const std::vector<std::string>& lower_directories) {
  std::string text = fmt::format("erofs {}\n", kFormat);
  for (const std::string& directory : lower_directories) {
    const std::string layer = layer_of(directory);
    if (layer.empty()) {
      return fail(ErrorCode::kUnsupported, "\"{}\" is no layer of an image", directory);
    }
    text += layer + '\n';
  }
  return sha256_of(text);
}

Result<ImageDisk> image_disk(const std::string& data_dir,
                             const std::vector<std::string>& lower_directories,
                             const ImageDiskLimits& limits) {
  const Paths paths {
    .directory = directory_of(data_dir), .key = TRY(image_disk_key(lower_directories))
  };
  if (auto found = open_recorded(paths)) return std::move(*found);
  auto made = make_locked(paths, lower_directories, limits);
  if (made) return made;
  return std::unexpected(
      explain_disk_error(std::move(made).error(), data_dir).in("cannot make the image's disk"));
}

Result<uint64_t> prune_image_disks(const std::string& data_dir) {
  const std::string directory = directory_of(data_dir);
  const auto names = list_dir(AT_FDCWD, directory);
  if (!names && names.error().errnum() == ENOENT) return uint64_t{0};
  if (!names) return std::unexpected(names.error());
  uint64_t freed = 0;
  for (const auto& [key, files] : files_by_key(*names)) {
    const Paths paths{.directory = directory, .key = key};
    const auto lock = TRY(FileLock::try_acquire(AT_FDCWD, paths.lock()));
    if (!lock) continue;  // it is being made
    const bool keep = has_layers(data_dir, paths) && exists(paths.disk());
    for (const std::string& name : files) {
      if (keep && name.find(kPartMark) == std::string::npos) continue;
      freed += occupied(directory + "/" + name);
      TRY(remove_tree(AT_FDCWD, directory + "/" + name));
    }
    if (!keep) TRY(remove_tree(AT_FDCWD, paths.lock()));
  }
  return freed;
}

}  // namespace trivet::payload::microvm
