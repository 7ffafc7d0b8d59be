#include "config/read.h"

#include <algorithm>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "config/registries.h"

namespace trivet::config {

namespace {

using yaml::Node;

constexpr const char* kNotAProjects = "a project can't set it";
constexpr const char* kWhereInstead = "it belongs into config.yml of the user or the host";

// "a" and "a.b" of "a.b.c", and with it all names that may stand in a file.
std::vector<std::string> names_below(const std::string& section, ConfigFileKind kind) {
  std::set<std::string> names;
  const std::string prefix = section.empty() ? "" : section + ".";
  for (const Key& key : keys()) {
    const std::string_view path = key.path;
    if (kind == ConfigFileKind::kProject && key.project == ProjectMay::kNothing) continue;
    if (!path.starts_with(prefix)) continue;
    const std::string_view rest = path.substr(prefix.size());
    names.emplace(rest.substr(0, rest.find('.')));
  }
  if (section.empty() && kind == ConfigFileKind::kConfig) names.emplace(kRegistriesKey);
  return {names.begin(), names.end()};
}

bool is_section(const std::string& path) {
  return std::ranges::any_of(
      keys(), [&](const Key& key) { return std::string_view(key.path).starts_with(path + "."); });
}

class Reader {
 public:
  Reader(const std::string& file, ConfigFileKind kind, Settings& settings, Origins& origins,
         Findings& findings)
      : file_(file), kind_(kind), settings_(settings), origins_(origins), findings_(findings) {}

  void read_section(const Node& node, const std::string& section) {
    if (node.kind == Node::Kind::kNull) return;  // all of it is commented out
    if (node.kind != Node::Kind::kMap) {
      return wrong(node, section,
                   fmt::format("a structure with names is expected, not {}", kind_text(node.kind)));
    }
    for (const Node::Member& member : node.members) {
      const std::string path = section.empty() ? member.name : section + "." + member.name;
      read_member(member, section, path);
    }
  }

 private:
  [[nodiscard]] Spot spot(int line, int column, const std::string& key) const {
    return {.file = file_, .line = line, .column = column, .key = key};
  }
  void wrong(const Node& node, const std::string& key, const std::string& text,
             std::string hint = {}) {
    findings_.wrong(spot(node.line, node.column, key), text, std::move(hint));
  }

  void read_member(const Node::Member& member, const std::string& section,
                   const std::string& path) {
    if (const Key* key = find_key(path); key != nullptr) return read_key(*key, member);
    if (is_section(path)) return read_section(*member.value, path);
    if (path == kRegistriesKey) return read_registries_of(member);
    const auto known = names_below(section, kind_);
    const std::string nearest = nearest_name(member.name, known);
    findings_.wrong(spot(member.line, member.column, path), "unknown key",
                    nearest.empty() ? fmt::format("known here: {}", join(known, ", "))
                                    : fmt::format("did you mean \"{}\"?", nearest));
  }

  void read_registries_of(const Node::Member& member) {
    if (kind_ == ConfigFileKind::kProject) {
      return findings_.wrong(spot(member.line, member.column, kRegistriesKey), kNotAProjects,
                             kWhereInstead);
    }
    read_registries(member, file_, settings_, origins_, findings_);
  }

  void read_key(const Key& key, const Node::Member& member) {
    const Spot where = spot(member.line, member.column, key.path);
    if (kind_ == ConfigFileKind::kProject && key.project == ProjectMay::kNothing) {
      return findings_.wrong(where, kNotAProjects, kWhereInstead);
    }
    const Node& node = *member.value;
    // The runtime of this name is meant by it, not YAML's nothing.
    const bool is_name = key.form == Form::kRuntime && node.text == "null";
    if (node.kind == Node::Kind::kNull && !is_name) {
      return findings_.wrong(where, "it has no value");
    }
    if (node.kind == Node::Kind::kList || node.kind == Node::Kind::kMap) {
      return findings_.wrong(where,
                             fmt::format("one value is expected, not {}", kind_text(node.kind)));
    }
    if (auto stored = store_value(key, node.text, settings_); !stored) {
      return findings_.wrong(where, stored.error().message(), stored.error().hint_text());
    }
    note(key.path, member);
  }

  void note(std::string_view key, const Node::Member& member) {
    note_origin(origins_, key,
                {.kind = Origin::Kind::kFile,
                 .name = file_,
                 .line = member.line,
                 .column = member.column,
                 .is_project = kind_ == ConfigFileKind::kProject});
  }

  const std::string& file_;
  ConfigFileKind kind_;
  Settings& settings_;
  Origins& origins_;
  Findings& findings_;
};

}  // namespace

void note_origin(Origins& origins, std::string_view key, const Origin& origin) {
  const auto found = std::ranges::find(origins, key, &std::pair<std::string, Origin>::first);
  if (found != origins.end()) {
    found->second = origin;
  } else {
    origins.emplace_back(key, origin);
  }
}

Result<yaml::NodePtr> read_document(const std::string& file, Follow follow) {
  const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | (follow == Follow::kNo ? O_NOFOLLOW : 0);
  const UniqueFd fd = TRY(open_file(file, flags));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat \"{}\"", file);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no regular file", file);
  }
  const std::string text = TRY(read_fd(fd.get(), file, yaml::kMaxYamlBytes));
  auto documents = TRY(yaml::parse_yaml(text, file));
  if (documents.size() > 1) {
    return fail(ErrorCode::kInvalidArgument, "{}:{}:1: it is one document, and here begins another",
                file, documents[1]->line);
  }
  return documents.empty() ? nullptr : documents.front();
}

void read_settings(const Node& root, const std::string& file, ConfigFileKind kind,
                   Settings& settings, Origins& origins, Findings& findings) {
  Reader(file, kind, settings, origins, findings).read_section(root, "");
}

}  // namespace trivet::config
