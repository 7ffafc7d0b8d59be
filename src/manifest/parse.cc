// Documents, their kinds, and metadata.
#include <algorithm>
#include <array>

#include "base/base64.h"
#include "base/text.h"
#include "manifest/fields.h"

namespace trivet::manifest {

namespace {

constexpr const char* kIsolationPrefix = "dev.trivet.isolation/";
constexpr const char* kIsolation = "dev.trivet.isolation";
constexpr const char* kExtensions = "dev.trivet.extensions";
constexpr const char* kExtensionPrefix = "dev.trivet.extension/";

constexpr const char* kKindHint =
    "a manifest has one Pod, and the ConfigMaps and Secrets that it names";
constexpr std::array kWorkloads = {
    "Deployment", "DaemonSet", "ReplicaSet",  "StatefulSet",
    "Job",        "CronJob",   "PodTemplate", "ReplicationController"};

enum class Allowed { kEverything, kConfigs };

class Reader {
 public:
  explicit Reader(Problems& problems) : problems_(problems) {}

  Result<> read(const Text& text, Allowed allowed) {
    for (const NodePtr& node : TRY(yaml::parse_yaml(text.content, text.file))) {
      document(Value(node, {text.file, node->line, node->column, ""}, problems_), allowed);
    }
    return {};
  }

  [[nodiscard]] bool has_pod() const { return has_pod_; }
  [[nodiscard]] Manifest& manifest() { return manifest_; }

 private:
  void document(const Value& value, Allowed allowed) {
    Fields fields(value);
    if (value.node().kind != Node::Kind::kMap) return;
    const auto version = fields.need("apiVersion");
    const auto kind_field = fields.need("kind");
    if (!kind_field) return skip(fields);
    const std::string kind = kind_field->text();
    const bool known = kind == "Pod" || kind == "ConfigMap" || kind == "Secret" || kind == "List";
    if (!known) return unknown_kind(*kind_field, kind, fields);
    if (version && version->node().text != "v1") {
      version->wrong(fmt::format("\"{}\": it is v1", version->node().text));
    }
    if (kind == "List") return list(fields, allowed);
    if (kind == "ConfigMap") return config_map(fields);
    if (kind == "Secret") return secret(fields);
    if (allowed == Allowed::kConfigs) {
      kind_field->wrong("a file of ConfigMaps and Secrets has no Pod");
      return skip(fields);
    }
    pod(fields, *kind_field);
  }

  // Nothing else of a document that can't be read is worth a word.
  static void skip(Fields& fields) {
    for (const auto& [name, value] : fields.value().members()) fields.accept({name.c_str()});
  }

  static void unknown_kind(const Value& value, const std::string& kind, Fields& fields) {
    skip(fields);
    if (value.node().kind != Node::Kind::kText) return;
    const bool workload = std::ranges::find(kWorkloads, kind) != kWorkloads.end();
    value.wrong(fmt::format("{}: only a Pod can be run", kind.empty() ? "\"\"" : kind),
                workload
                    ? fmt::format("take what is below \"template\" of the {}, with apiVersion: "
                                  "v1 and kind: Pod",
                                  kind)
                    : kKindHint);
  }

  void list(Fields& fields, Allowed allowed) {
    fields.accept({"metadata"});
    if (const auto items = fields.need("items")) {
      for (const Value& item : items->items()) document(item, allowed);
    }
  }

  // What the API server adds to a name, labels and annotations.
  static void accept_server_metadata(Fields& metadata) {
    metadata.accept({"creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp",
                     "finalizers", "generation", "managedFields", "ownerReferences",
                     "resourceVersion", "selfLink"});
  }

  // The name of a ConfigMap or Secret.
  static std::string config_name(Fields& fields) {
    std::string name;
    const auto metadata = fields.need("metadata");
    if (!metadata) return name;
    Fields members(*metadata);
    if (const auto field = members.need("name")) {
      name = field->text();
      check_name(*field, name, 253, Dots::kYes);
    }
    members.accept({"namespace", "labels", "annotations", "uid"});
    accept_server_metadata(members);
    return name;
  }

  static void add_texts(Fields& fields, const char* name, Data& data) {
    const auto value = fields.find(name);
    if (!value) return;
    for (const auto& [key, text] : value->members()) data.entries[key] = text.text();
  }

  static void add_base64(Fields& fields, const char* name, Data& data) {
    const auto value = fields.find(name);
    if (!value) return;
    for (const auto& [key, text] : value->members()) {
      const auto bytes = decode_base64(text.text());
      if (bytes) {
        data.entries[key] = *bytes;
      } else {
        text.wrong("it is no base64", name == std::string_view("data")
                                          ? "stringData takes text as it is"
                                          : "data takes text as it is");
      }
    }
  }

  // Keys become names of files.
  static void check_keys(const Fields& fields, const Data& data) {
    for (const auto& [key, content] : data.entries) {
      const bool fine = !key.empty() && key.size() <= 253 && key != "." && key != ".." &&
                        std::ranges::all_of(key, [](char c) {
                          return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                                 (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
                        });
      if (!fine) {
        fields.value().wrong(
            fmt::format("key \"{}\": it is up to 253 of a-z, A-Z, 0-9, \"-\", \"_\", \".\"", key));
      }
    }
  }

  void keep(Fields& fields, std::map<std::string, Data>& all, const std::string& name, Data data,
            const char* kind) {
    check_keys(fields, data);
    if (name.empty()) return;
    data.place = fields.place();
    if (!all.emplace(name, std::move(data)).second) {
      fields.value().wrong(fmt::format("there is another {} \"{}\"", kind, name));
    }
  }

  void config_map(Fields& fields) {
    const std::string name = config_name(fields);
    Data data;
    add_texts(fields, "data", data);
    add_base64(fields, "binaryData", data);
    fields.accept({"immutable"});
    keep(fields, manifest_.config_maps, name, std::move(data), "ConfigMap");
  }

  void secret(Fields& fields) {
    const std::string name = config_name(fields);
    Data data;
    add_base64(fields, "data", data);
    add_texts(fields, "stringData", data);
    fields.accept({"immutable", "type"});
    keep(fields, manifest_.secrets, name, std::move(data), "Secret");
  }

  void pod(Fields& fields, const Value& kind) {
    fields.accept({"status"});
    if (has_pod_) {
      kind.wrong("there is another Pod in this manifest: trivet runs one at a time");
      return skip(fields);
    }
    has_pod_ = true;
    Pod& pod = manifest_.pod;
    pod.place = fields.place();
    if (const auto spec = fields.need("spec")) read_pod_spec(*spec, pod);
    // After the spec: annotations speak of containers.
    if (const auto metadata = fields.need("metadata")) pod_metadata(*metadata, pod);
  }

  static void pod_metadata(const Value& value, Pod& pod) {
    Fields fields(value);
    const auto generated = fields.find("generateName");
    const auto name = generated ? fields.find("name") : fields.need("name");
    if (name) {
      pod.name = name->text();
      check_name(*name, pod.name, 253, Dots::kYes);
    } else if (generated) {
      generated->unsupported("trivet makes up no names of pods: \"name\" gives one");
    }
    fields.read("namespace", pod.name_space);
    fields.read("uid", pod.uid);
    fields.read("labels", pod.labels);
    accept_server_metadata(fields);
    const auto annotations = fields.find("annotations");
    if (!annotations) return;
    pod.annotations = annotations->text_map();
    for (const auto& [key, text] : annotations->members()) own_annotation(key, text, pod);
  }

  static void own_annotation(const std::string& key, const Value& value, Pod& pod) {
    if (value.node().kind != Node::Kind::kText) return;
    const std::string& text = value.node().text;
    if (key == kExtensions) {
      extensions(value, pod);
    } else if (key == kIsolation) {
      if (known_isolation(value)) pod.isolation = text;
    } else if (key.starts_with(kIsolationPrefix)) {
      const std::string name = key.substr(std::string_view(kIsolationPrefix).size());
      const auto found = std::ranges::find(pod.containers, name, &Container::name);
      if (found == pod.containers.end()) {
        value.wrong(fmt::format("the pod has no container \"{}\"", name));
      } else if (known_isolation(value)) {
        found->isolation = text;
      }
    }
  }

  static bool known_isolation(const Value& value) {
    return value.one_of({"native", "wasm", "microvm"}).has_value();
  }

  // "dns, metrics, NAME=/path"; the settings of each in an annotation of their own.
  static void extensions(const Value& value, Pod& pod) {
    for (const std::string& part : split(value.text(), ',')) {
      const std::string_view entry = trim(part);
      if (entry.empty()) continue;
      const size_t equals = std::min(entry.find('='), entry.size());
      Extension extension{.name = std::string(entry.substr(0, equals))};
      if (equals < entry.size()) extension.path = entry.substr(equals + 1);
      const auto settings = pod.annotations.find(kExtensionPrefix + extension.name);
      if (settings != pod.annotations.end()) extension.settings = settings->second;
      pod.extensions.push_back(std::move(extension));
    }
  }

  Problems& problems_;
  Manifest manifest_;
  bool has_pod_ = false;
};

Error with_advice(Error error) {
  if (error.code() != ErrorCode::kUnsupported) return error;
  return std::move(error).hint("--ignore-unsupported runs the pod without what trivet can't do");
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view text, const ParseOptions& options) {
  Problems problems(options.ignore_unsupported);
  Reader reader(problems);
  reader.manifest().pod.grace_seconds = options.grace_seconds;
  TRY(reader.read({options.file, std::string(text)}, Allowed::kEverything));
  for (const Text& config : options.configs) TRY(reader.read(config, Allowed::kConfigs));
  if (!reader.has_pod() && problems.none()) {
    problems.wrong({.file = options.file}, "there is no Pod in it", kKindHint);
  }
  // Of what could not be read, the rest would only say more of the same.
  if (problems.none()) validate(reader.manifest(), problems);
  if (!problems.none()) return std::unexpected(with_advice(problems.error()));
  reader.manifest().warnings = problems.warnings();
  return std::move(reader.manifest());
}

}  // namespace trivet::manifest
