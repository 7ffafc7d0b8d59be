#include "runtime/mount_request.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/text.h"

namespace trivet::runtime {

namespace {

bool contains(const auto& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

constexpr std::array kPropagations = {"private", "rprivate", "shared",     "rshared",
                                      "slave",   "rslave",   "unbindable", "runbindable"};
constexpr std::array kFlags = {"nosuid",   "suid",       "nodev",      "dev",        "noexec",
                               "exec",     "noatime",    "atime",      "nodiratime", "diratime",
                               "relatime", "norelatime", "strictatime"};
// Docker's hints for file sharing on macOS mean nothing on Linux, there and here.
constexpr std::array kConsistencies = {"consistent", "cached", "delegated"};

bool is_identifier(std::string_view text) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && word(text.front()) && std::all_of(text.begin(), text.end(), [&](char c) {
    return word(c) || c == '_' || c == '.' || c == '-';
  });
}

// Of bind and volume mounts, in the order they are given.
class OptionReader {
 public:
  explicit OptionReader(MountRequest& request) : request_(request) {}

  Result<> read(std::string_view word) {
    if (word.empty() || word == "rw" || contains(kConsistencies, word)) return {};
    if (word.starts_with("bind-propagation=")) return propagation(word.substr(17));
    if (contains(kPropagations, word)) return propagation(word);
    if (word == "ro" || word == "readonly") {
      request_.read_only = true;
    } else if (word == "z" || word == "Z") {
      request_.relabel = true;
    } else if (word == "bind" || word == "bind-nonrecursive") {
      bind_ = "bind";
    } else if (word == "rbind") {
      bind_ = "rbind";
    } else if (contains(kFlags, word)) {
      flags_.emplace_back(word);
    } else {
      return volume_only(word);
    }
    return {};
  }

  void finish() {
    request_.options = {bind_, propagation_};
    if (request_.read_only) request_.options.emplace_back(bind_ == "rbind" ? "rro" : "ro");
    request_.options.insert(request_.options.end(), flags_.begin(), flags_.end());
  }

 private:
  Result<> propagation(std::string_view word) {
    if (!contains(kPropagations, word)) {
      return fail(ErrorCode::kInvalidArgument, "unknown mount propagation \"{}\"", word);
    }
    propagation_ = word;
    return {};
  }

  Result<> volume_only(std::string_view word) {
    const bool copy = word == "copy";
    if (copy || word == "nocopy" || word == "volume-nocopy") {
      if (request_.kind != MountRequest::Kind::kVolume) {
        return fail(ErrorCode::kInvalidArgument, "option \"{}\" is for volumes only", word);
      }
      request_.copy_up = copy;
      return {};
    }
    if (word == "U" || word == "O") {
      return fail(ErrorCode::kUnsupported, "mount option \"{}\" is not supported", word);
    }
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown mount option \"{}\"", word))
            .hint("known are ro, rw, z, Z, nocopy, rprivate and the other propagations, "
                  "nosuid, nodev, noexec and their opposites"));
  }

  MountRequest& request_;
  std::string bind_ = "rbind";
  std::string propagation_ = "rprivate";
  std::vector<std::string> flags_;
};

Result<> set_source(MountRequest& request, std::string_view source,
                    const std::string& working_directory) {
  if (request.kind == MountRequest::Kind::kVolume) {
    if (!source.empty()) TRY(check_volume_name(source));
    request.source = source;
    request.copy_up = true;
    return {};
  }
  if (source.empty()) return fail(ErrorCode::kInvalidArgument, "a bind mount needs a source");
  const std::string absolute =
      source.front() == '/' ? std::string(source) : fmt::format("{}/{}", working_directory, source);
  request.source = TRY(normal_path(absolute));
  return {};
}

Result<> set_destination(MountRequest& request, std::string_view destination) {
  request.destination = TRY(normal_path(destination));
  if (request.destination != "/") return {};
  return fail(ErrorCode::kInvalidArgument, "the container's \"/\" can't be a mount point");
}

Result<> read_options(MountRequest& request, const std::vector<std::string>& words) {
  OptionReader reader(request);
  for (const std::string& word : words) TRY(reader.read(word));
  reader.finish();
  return {};
}

// "nosuid,nodev,noexec" unless the opposite was asked for, then what was asked for.
Result<> read_tmpfs_options(MountRequest& request, const std::vector<std::string>& words) {
  std::vector<std::string> options;
  for (const std::string& raw : words) {
    std::string_view word = raw;
    if (word.starts_with("tmpfs-")) word.remove_prefix(6);
    if (word.empty() || word == "rw") continue;
    if (word == "readonly" || word == "ro") request.read_only = true;
    const bool valued = word.starts_with("size=") || word.starts_with("mode=") ||
                        word.starts_with("uid=") || word.starts_with("gid=") ||
                        word.starts_with("nr_inodes=") || word.starts_with("nr_blocks=");
    if (!valued && !contains(kFlags, word) && word != "ro" && word != "readonly") {
      return fail(ErrorCode::kInvalidArgument, "unknown tmpfs option \"{}\"", word);
    }
    options.emplace_back(word == "readonly" ? "ro" : word);
  }
  for (const char* hardening : {"noexec", "nodev", "nosuid"}) {
    if (!contains(options, hardening + 2)) options.emplace(options.begin(), hardening);
  }
  request.options = std::move(options);
  return {};
}

}  // namespace

Result<> check_volume_name(std::string_view name) {
  if (name.size() <= 255 && is_identifier(name)) return {};
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no volume name", name))
          .hint("a name is up to 255 of [a-zA-Z0-9_.-] and starts with a letter or digit; "
                "a host directory starts with / or ./"));
}

Result<std::string> normal_path(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not an absolute path", path);
  }
  std::string normal = std::filesystem::path(path).lexically_normal().string();
  while (normal.size() > 1 && normal.back() == '/') normal.pop_back();
  // "//x" is implementation-defined in POSIX and is kept by lexically_normal.
  while (normal.starts_with("//")) normal.erase(0, 1);
  return normal;
}

Result<MountRequest> parse_volume(std::string_view text, const std::string& working_directory) {
  const std::vector<std::string> parts = split(text, ':');
  if (parts.size() > 3 || parts.front().empty()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no volume", text))
            .hint("a volume is SOURCE:DESTINATION[:OPTIONS]"));
  }
  MountRequest request;
  const bool anonymous = parts.size() == 1;
  const bool host_path = parts.front().front() == '/' || parts.front().front() == '.';
  request.kind = host_path && !anonymous ? MountRequest::Kind::kBind : MountRequest::Kind::kVolume;
  TRY_IN(set_source(request, anonymous ? "" : parts.front(), working_directory), "volume \"{}\"",
         text);
  TRY_IN(set_destination(request, parts[anonymous ? 0 : 1]), "volume \"{}\"", text);
  const std::string options = parts.size() == 3 ? parts[2] : std::string();
  TRY_IN(read_options(request, split(options, ',')), "volume \"{}\"", text);
  return request;
}

Result<MountRequest> parse_mount(const MountOption& option, const std::string& working_directory) {
  MountRequest request;
  TRY_IN(set_destination(request, option.destination), "mount");
  if (option.type == "tmpfs") {
    request.kind = MountRequest::Kind::kTmpfs;
    if (!option.source.empty()) {
      return fail(ErrorCode::kInvalidArgument, "mount \"{}\": a tmpfs has no source",
                  option.destination);
    }
    TRY_IN(read_tmpfs_options(request, option.options), "mount \"{}\"", option.destination);
    return request;
  }
  if (option.type != "bind" && option.type != "volume" && !option.type.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "mount \"{}\": unknown type \"{}\": it is bind, volume or tmpfs",
                option.destination, option.type);
  }
  request.kind = option.type == "bind" ? MountRequest::Kind::kBind : MountRequest::Kind::kVolume;
  request.sub_path = option.sub_path;
  TRY_IN(set_source(request, option.source, working_directory), "mount \"{}\"", option.destination);
  TRY_IN(read_options(request, option.options), "mount \"{}\"", option.destination);
  return request;
}

Result<MountRequest> parse_tmpfs(std::string_view text) {
  MountRequest request;
  request.kind = MountRequest::Kind::kTmpfs;
  const size_t colon = text.find(':');
  TRY_IN(set_destination(request, text.substr(0, colon)), "tmpfs \"{}\"", text);
  const std::string_view options =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  TRY_IN(read_tmpfs_options(request, split(options, ',')), "tmpfs \"{}\"", text);
  return request;
}

}  // namespace trivet::runtime
