#include "config/registries.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "config/keys.h"

namespace trivet::config {

namespace {

using OrderedJson = nlohmann::ordered_json;
using yaml::Node;

constexpr const char* kMirrorsHelp = "Asked first when images are pulled, in this order";
constexpr const char* kPlainHttpHelp = "The registry speaks HTTP, which proves and hides nothing";
constexpr const char* kCaFileHelp = "Certificate authorities (PEM) to trust besides the system's";

// As in a reference; the brackets are those of IPv6 addresses.
constexpr const char* kHostPattern = R"(^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$)";
constexpr const char* kMirrorPattern =
    R"(^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/*$)";

constexpr std::string_view kDigits = "0123456789";
constexpr std::string_view kHexDigits = "0123456789abcdefABCDEF";

bool is_made_of(std::string_view text, std::string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == text.npos;
}

bool is_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-';
  });
}

bool is_address(std::string_view text) {
  return text.size() > 2 && text.front() == '[' && text.back() == ']' &&
         is_made_of(text.substr(1, text.size() - 2), std::string(kHexDigits) + ":.");
}

// kHostPattern.
bool is_host(std::string_view text) {
  const size_t colon = text.rfind(':');
  const size_t bracket = text.rfind(']');
  const bool has_port = colon != text.npos && (bracket == text.npos || colon > bracket);
  if (has_port) {
    const std::string_view port = text.substr(colon + 1);
    if (port.size() > 5 || !is_made_of(port, kDigits)) return false;
    text = text.substr(0, colon);
  }
  return is_name(text) || is_address(text);
}

// kMirrorPattern.
bool is_mirror(std::string_view text) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (!text.starts_with(scheme)) continue;
    text.remove_prefix(scheme.size());
    while (text.ends_with('/')) text.remove_suffix(1);
    return is_host(text);
  }
  return false;
}

// One registry's values.
class RegistryReader {
 public:
  RegistryReader(const std::string& file, const Node::Member& entry, RegistrySettings& registry,
                 Origins& origins, Findings& findings)
      : file_(file), entry_(entry), registry_(registry), origins_(origins), findings_(findings) {}

  void read() {
    const Node& node = *entry_.value;
    if (node.kind == Node::Kind::kNull) return;  // all of it is commented out
    if (node.kind != Node::Kind::kMap) {
      return findings_.wrong(
          {.file = file_, .line = node.line, .column = node.column, .key = path()},
          fmt::format("a structure with names is expected, not {}", kind_text(node.kind)));
    }
    for (const Node::Member& field : node.members) {
      if (read_field(field)) note(field);
    }
  }

 private:
  [[nodiscard]] std::string path() const {
    return fmt::format("{}.{}", kRegistriesKey, entry_.name);
  }

  // False: it is wrong, and said to be.
  bool read_field(const Node::Member& field) {
    if (field.name == "mirrors") return read_mirrors(field);
    if (field.name == "plain-http") return read_plain_http(field);
    if (field.name == "ca-file") return read_ca_file(field);
    const std::vector<std::string> known{"ca-file", "mirrors", "plain-http"};
    const std::string nearest = nearest_name(field.name, known);
    return wrong(field, "unknown key",
                 nearest.empty() ? fmt::format("known here: {}", join(known, ", "))
                                 : fmt::format("did you mean \"{}\"?", nearest));
  }

  bool read_mirrors(const Node::Member& field) {
    if (field.value->kind != Node::Kind::kList) {
      return wrong(field,
                   fmt::format("a list of URLs is expected, not {}", kind_text(field.value->kind)),
                   "write mirrors: [\"https://HOST\"]");
    }
    std::vector<std::string> mirrors;
    for (const yaml::NodePtr& item : field.value->items) {
      if (item->kind != Node::Kind::kText || !is_mirror(item->text)) {
        return wrong(field, fmt::format("\"{}\" is no URL of a host", item->text),
                     "write it as https://HOST or https://HOST:PORT");
      }
      mirrors.push_back(item->text);
    }
    registry_.mirrors = std::move(mirrors);
    return true;
  }

  bool read_plain_http(const Node::Member& field) {
    if (field.value->kind != Node::Kind::kBool) {
      return wrong(field, fmt::format("\"{}\" is neither true nor false", field.value->text),
                   "write true or false");
    }
    registry_.plain_http = field.value->flag;
    return true;
  }

  bool read_ca_file(const Node::Member& field) {
    if (field.value->kind != Node::Kind::kText) {
      return wrong(field, "the path of a file is expected", "begin it with / or ~/");
    }
    auto path = parse_path(field.value->text);
    if (!path) return wrong(field, path.error().message(), path.error().hint_text());
    registry_.ca_file = std::move(*path);
    return true;
  }

  bool wrong(const Node::Member& field, const std::string& text, const std::string& hint) {
    findings_.wrong({.file = file_,
                     .line = field.line,
                     .column = field.column,
                     .key = fmt::format("{}.{}", path(), field.name)},
                    text, hint);
    return false;
  }

  void note(const Node::Member& field) {
    note_origin(
        origins_, fmt::format("{}.{}", path(), field.name),
        {.kind = Origin::Kind::kFile, .name = file_, .line = field.line, .column = field.column});
  }

  const std::string& file_;
  const Node::Member& entry_;
  RegistrySettings& registry_;
  Origins& origins_;
  Findings& findings_;
};

// Of a host that no image has: what is meant; empty: it is fine.
std::string better_host(const std::string& host) {
  for (const char* alias : {"index.docker.io", "registry-1.docker.io", "hub.docker.com"}) {
    if (host == alias) return "the registry of Docker Hub is called docker.io";
  }
  return is_host(host) ? "" : "write HOST or HOST:PORT, such as docker.io or 127.0.0.1:5000";
}

RegistrySettings& registry_of(Settings& settings, const std::string& host) {
  const auto found = std::ranges::find(settings.registries, host, &RegistrySettings::host);
  if (found != settings.registries.end()) return *found;
  return settings.registries.emplace_back(RegistrySettings{.host = host});
}

}  // namespace

void read_registries(const Node::Member& member, const std::string& file, Settings& settings,
                     Origins& origins, Findings& findings) {
  const Node& node = *member.value;
  if (node.kind == Node::Kind::kNull) return;  // all of it is commented out
  if (node.kind != Node::Kind::kMap) {
    return findings.wrong(
        {.file = file, .line = node.line, .column = node.column, .key = kRegistriesKey},
        fmt::format("a structure with names is expected, not {}", kind_text(node.kind)),
        "write registries: {docker.io: {mirrors: [\"https://HOST\"]}}");
  }
  for (const Node::Member& entry : node.members) {
    const std::string hint = better_host(entry.name);
    if (!hint.empty()) {
      findings.wrong({.file = file,
                      .line = entry.line,
                      .column = entry.column,
                      .key = fmt::format("{}.{}", kRegistriesKey, entry.name)},
                     "it is no host of a registry", hint);
      continue;
    }
    RegistryReader(file, entry, registry_of(settings, entry.name), origins, findings).read();
  }
}

std::vector<RegistryValue> registry_values(const Settings& settings) {
  std::vector<RegistryValue> values;
  for (const RegistrySettings& registry : settings.registries) {
    const std::string path = fmt::format("{}.{}.", kRegistriesKey, registry.host);
    if (!registry.mirrors.empty()) {
      values.push_back(
          {.key = path + "mirrors", .help = kMirrorsHelp, .value = OrderedJson(registry.mirrors)});
    }
    if (registry.plain_http) {
      values.push_back({.key = path + "plain-http", .help = kPlainHttpHelp, .value = true});
    }
    if (!registry.ca_file.empty()) {
      values.push_back({.key = path + "ca-file", .help = kCaFileHelp, .value = registry.ca_file});
    }
  }
  return values;
}

OrderedJson registries_schema() {
  const OrderedJson values{
      {"mirrors",
       {{"description", kMirrorsHelp},
        {"type", "array"},
        {"items", {{"type", "string"}, {"pattern", kMirrorPattern}}}}},
      {"plain-http", {{"description", kPlainHttpHelp}, {"default", false}, {"type", "boolean"}}},
      {"ca-file", {{"description", kCaFileHelp}, {"type", "string"}, {"pattern", "^(/|~/)"}}}};
  return {
      {"description", kRegistriesHelp},
      {"type", {"object", "null"}},
      {"propertyNames", {{"pattern", kHostPattern}}},
      {"additionalProperties",
       {{"type", {"object", "null"}}, {"additionalProperties", false}, {"properties", values}}}};
}

}  // namespace trivet::config
