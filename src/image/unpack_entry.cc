#include "image/unpack_entry.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <archive.h>
#include <archive_entry.h>
#include <climits>

#include "base/text.h"

namespace trivet::image {

namespace {

// image-spec: layer.md, Whiteouts.
constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kAufsPrefix = ".wh..wh.";
constexpr std::string_view kOpaqueName = ".wh..wh..opq";
constexpr size_t kMaxXattrValue = 65536;  // XATTR_SIZE_MAX
constexpr int64_t kMaxId = 0xFFFFFFFE;    // -1 means "leave it" to chown
constexpr mode_t kModeBits = 07777;

// Names come from a hostile place and go to a terminal.
std::string quoted(std::string_view text) {
  constexpr size_t kMaxShown = 200;
  std::string shown = "\"";
  for (const char c : text.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte == 0x7F ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return shown + (text.size() > kMaxShown ? "…\"" : "\"");
}

std::string_view text_of(const char* text) {
  return text != nullptr ? text : std::string_view{};
}

Result<> check_component(std::string_view component, std::string_view path) {
  if (component == "..") {
    return fail(ErrorCode::kCorrupt, "the path {} has a \"..\"", quoted(path));
  }
  if (component.size() > NAME_MAX) {
    return fail(ErrorCode::kCorrupt, "the path {} has a name over {} bytes", quoted(path),
                NAME_MAX);
  }
  return {};
}

Result<Attributes> parse_attributes(archive_entry* entry) {
  Attributes attributes;
  const int64_t uid = archive_entry_uid(entry);
  const int64_t gid = archive_entry_gid(entry);
  if (uid < 0 || uid > kMaxId || gid < 0 || gid > kMaxId) {
    return fail(ErrorCode::kCorrupt, "owner {}:{} is out of range", uid, gid);
  }
  attributes.uid = static_cast<uid_t>(uid);
  attributes.gid = static_cast<gid_t>(gid);
  attributes.mode = archive_entry_perm(entry) & kModeBits;
  const long nanoseconds = archive_entry_mtime_nsec(entry);
  constexpr long kSecond = 1000000000;
  attributes.mtime = {.tv_sec = archive_entry_mtime(entry),
                      .tv_nsec = nanoseconds >= 0 && nanoseconds < kSecond ? nanoseconds : 0};
  return attributes;
}

bool is_overlay_name(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

bool is_kept(std::string_view name) {
  return name.starts_with("user.") || name == "security.capability";
}

Result<> parse_xattrs(archive_entry* entry, Attributes& attributes) {
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  archive_entry_xattr_reset(entry);
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    const std::string_view key = text_of(name);
    if (is_overlay_name(key)) {
      return fail(ErrorCode::kCorrupt, "the attribute {} is overlayfs's own", quoted(key));
    }
    if (!is_kept(key)) continue;
    if (key.size() > NAME_MAX || size > kMaxXattrValue) {
      return fail(ErrorCode::kCorrupt, "the attribute {} is too long", quoted(key));
    }
    attributes.xattrs.emplace_back(key, std::string(static_cast<const char*>(value), size));
  }
  return {};
}

// ".wh.NAME" in the last component; elsewhere the prefix is reserved.
Result<bool> parse_whiteout(LayerEntry& entry) {
  const std::string& name = entry.path.name;
  const std::string inside = "/" + entry.path.directory + "/";
  if (name.starts_with(kAufsPrefix) || inside.find("/.wh..wh.") != std::string::npos) {
    entry.type = LayerEntry::Type::kSkipped;
    if (name == kOpaqueName && inside.find("/.wh.") == std::string::npos) {
      entry.type = LayerEntry::Type::kOpaque;
      entry.path = TRY(parse_layer_path(entry.path.directory));
    }
    return true;
  }
  if (inside.find("/.wh.") != std::string::npos) {
    return fail(ErrorCode::kCorrupt, "a whiteout is used as a directory");
  }
  if (!name.starts_with(kWhiteoutPrefix)) return false;
  const std::string hidden = name.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return fail(ErrorCode::kCorrupt, "the whiteout {} hides no name", quoted(name));
  }
  entry.type = LayerEntry::Type::kWhiteout;
  entry.path.name = hidden;
  return true;
}

Result<> parse_symlink(archive_entry* source, LayerEntry& entry) {
  entry.type = LayerEntry::Type::kSymlink;
  entry.target = text_of(archive_entry_symlink(source));
  if (entry.target.empty() || entry.target.size() >= PATH_MAX) {
    return fail(ErrorCode::kCorrupt, "the target of the symbolic link is empty or too long");
  }
  return {};
}

Result<> parse_file(archive_entry* source, LayerEntry& entry) {
  const int64_t size = archive_entry_size(source);
  if (size < 0) return fail(ErrorCode::kCorrupt, "a negative size");
  entry.type = LayerEntry::Type::kFile;
  entry.size = static_cast<uint64_t>(size);
  return {};
}

Result<> parse_device(archive_entry* source, mode_t type, LayerEntry& entry) {
  entry.type = LayerEntry::Type::kDevice;
  entry.device_type = type;
  entry.device = makedev(static_cast<unsigned>(archive_entry_rdevmajor(source)),
                         static_cast<unsigned>(archive_entry_rdevminor(source)));
  return {};
}

Result<> parse_type(archive_entry* source, LayerEntry& entry) {
  if (const char* target = archive_entry_hardlink(source); target != nullptr) {
    entry.type = LayerEntry::Type::kHardLink;
    entry.link = TRY_IN(parse_layer_path(target), "hard link");
    if (entry.link.is_root()) return fail(ErrorCode::kCorrupt, "a hard link to the root");
    return {};
  }
  switch (archive_entry_filetype(source)) {
    case AE_IFREG:
      return parse_file(source, entry);
    case AE_IFLNK:
      return parse_symlink(source, entry);
    case AE_IFCHR:
      return parse_device(source, S_IFCHR, entry);
    case AE_IFBLK:
      return parse_device(source, S_IFBLK, entry);
    case AE_IFDIR:
      entry.type = LayerEntry::Type::kDirectory;
      return {};
    case AE_IFIFO:
      entry.type = LayerEntry::Type::kFifo;
      return {};
    default:
      break;
  }
  return fail(ErrorCode::kCorrupt, "an entry of unknown type");
}

}  // namespace

Result<LayerPath> parse_layer_path(std::string_view path) {
  if (path.empty()) return LayerPath{};
  if (path.size() >= PATH_MAX) {
    return fail(ErrorCode::kCorrupt, "the path {} is over {} bytes", quoted(path), PATH_MAX - 1);
  }
  LayerPath parsed;
  for (const std::string& component : split(path, '/')) {
    if (component.empty() || component == ".") continue;
    TRY(check_component(component, path));
    parsed.directory = parsed.text();
    parsed.name = component;
  }
  return parsed;
}

Result<LayerEntry> parse_layer_entry(archive_entry* source) {
  const std::string_view path = text_of(archive_entry_pathname(source));
  if (path.empty()) return fail(ErrorCode::kCorrupt, "an entry without a name");
  LayerEntry entry {
    .path = TRY(parse_layer_path(path))
  };
  if (TRY_IN(parse_whiteout(entry), "entry {}", quoted(path))) return entry;
  TRY_IN(parse_type(source, entry), "entry {}", quoted(path));
  if (entry.path.is_root() && entry.type != LayerEntry::Type::kDirectory) {
    return fail(ErrorCode::kCorrupt, "entry {}: the root is no directory", quoted(path));
  }
  entry.attributes = TRY_IN(parse_attributes(source), "entry {}", quoted(path));
  TRY_IN(parse_xattrs(source, entry.attributes), "entry {}", quoted(path));
  return entry;
}

}  // namespace trivet::image
