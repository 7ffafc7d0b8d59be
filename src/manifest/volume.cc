// The volumes of a pod, and what fills them.
#include "base/text.h"
#include "manifest/fields.h"
#include "manifest/quantity.h"

namespace trivet::manifest {

namespace {

constexpr Range kMode{0, 0777};
constexpr Range kStickyMode{0, 01777};

std::optional<uint32_t> read_mode(Fields& fields, const char* name, Range range = kMode) {
  std::optional<uint32_t> mode;
  const auto value = fields.find(name);
  if (!value) return mode;
  if (value->node().kind == Node::Kind::kNumber) {
    const auto number = integer_of(value->node());
    if (!number || *number < range.least || *number > range.most) {
      value->wrong(fmt::format("{}: a mode is 0000 to {:04o}, or 0 to {}", value->node().text,
                               range.most, range.most));
      return mode;
    }
  }
  mode = static_cast<uint32_t>(value->integer(range));
  return mode;
}

void read_item_path(Fields& fields, Item& item) {
  if (const auto path = fields.need("path")) {
    item.path = path->text();
    check_inside(*path, item.path);
  }
  item.mode = read_mode(fields, "mode");
}

Item read_key_item(const Value& value) {
  Fields fields(value);
  Item item{.place = value.place()};
  if (const auto key = fields.need("key")) item.key = key->text();
  read_item_path(fields, item);
  return item;
}

Item read_downward_item(const Value& value) {
  Fields fields(value);
  Item item{.place = value.place()};
  read_item_path(fields, item);
  const auto field = fields.find("fieldRef");
  const auto resource = fields.find("resourceFieldRef");
  if (field.has_value() == resource.has_value()) {
    value.wrong("exactly one of fieldRef and resourceFieldRef is needed");
  }
  if (field) item.field_path = read_field_ref(*field, FieldUse::kFile);
  if (resource) item.resource = read_resource_ref(*resource);
  return item;
}

// A secret volume calls its secret secretName, and everything else name.
Source read_keys(Fields& fields, Source::Kind kind, const char* name_field) {
  Source source{.kind = kind, .place = fields.place()};
  if (const auto name = fields.need(name_field)) source.name = name->text();
  fields.read("optional", source.optional);
  if (const auto items = fields.find("items")) {
    for (const Value& item : items->items()) source.items.push_back(read_key_item(item));
  }
  return source;
}

Source read_downward(Fields& fields) {
  Source source{.kind = Source::Kind::kDownward, .place = fields.place()};
  if (const auto items = fields.find("items")) {
    for (const Value& item : items->items()) source.items.push_back(read_downward_item(item));
  }
  return source;
}

void read_empty_dir(const Value& value, Volume& volume) {
  Fields fields(value);
  volume.kind = Volume::Kind::kEmpty;
  volume.mode = read_mode(fields, "mode", kStickyMode).value_or(volume.mode);
  if (const auto medium = fields.find("medium")) {
    const std::string word = medium->text();
    volume.memory = word == "Memory";
    if (word.starts_with("HugePages")) {
      medium->unsupported("trivet has no volumes of huge pages");
    } else if (!volume.memory && !word.empty()) {
      medium->wrong(fmt::format("\"{}\": it is \"\" or Memory", word));
    }
  }
  if (const auto size = fields.find("sizeLimit")) {
    const auto bytes = parse_units(size->word());
    if (!bytes) {
      size->wrong(bytes.error().message(), bytes.error().hint_text());
    } else if (volume.memory) {
      volume.size = static_cast<uint64_t>(*bytes);
    } else {
      size->unsupported("only a volume with medium: Memory can be limited");
    }
  }
}

void read_host_path(const Value& value, Volume& volume) {
  using enum Volume::HostType;
  Fields fields(value);
  volume.kind = Volume::Kind::kHostPath;
  if (const auto path = fields.need("path")) {
    volume.path = path->text();
    check_absolute(*path, volume.path);
    const std::vector<std::string> parts = split(volume.path, '/');
    for (const std::string& part : parts) {
      if (part == "..") path->wrong(fmt::format("\"{}\": it has no \"..\"", volume.path));
    }
  }
  const auto type = fields.find("type");
  if (!type || (type->node().kind == Node::Kind::kText && type->node().text.empty())) return;
  const auto word = type->one_of({"DirectoryOrCreate", "Directory", "FileOrCreate", "File",
                                  "Socket", "CharDevice", "BlockDevice"});
  static const std::map<std::string, Volume::HostType> kTypes = {
      {"DirectoryOrCreate", kDirectoryOrCreate},
      {"Directory", kDirectory},
      {"FileOrCreate", kFileOrCreate},
      {"File", kFile},
      {"Socket", kSocket},
      {"CharDevice", kCharDevice},
      {"BlockDevice", kBlockDevice}};
  if (word) volume.host_type = kTypes.at(*word);
}

void read_projected_source(const Value& value, Volume& volume) {
  Fields fields(value);
  int kinds = 0;
  const auto part = [&](const char* name, auto read) {
    const auto field = fields.find(name);
    if (!field) return;
    Fields members(*field);
    volume.sources.push_back(read(members));
    ++kinds;
  };
  part("configMap", [](Fields& f) { return read_keys(f, Source::Kind::kConfigMap, "name"); });
  part("secret", [](Fields& f) { return read_keys(f, Source::Kind::kSecret, "name"); });
  part("downwardAPI", [](Fields& f) { return read_downward(f); });
  for (const char* name : {"serviceAccountToken", "clusterTrustBundle", "podCertificate"}) {
    if (fields.find(name)) ++kinds;
    fields.refuse(name, "there is no API server to give it out");
  }
  if (kinds != 1) value.wrong("exactly one of configMap, secret and downwardAPI is needed");
}

void read_files(const char* kind, const Value& value, Volume& volume) {
  const std::string_view word = kind;
  Fields fields(value);
  volume.kind = Volume::Kind::kFiles;
  volume.file_mode = read_mode(fields, "defaultMode").value_or(0644);
  if (word == "configMap") {
    volume.sources.push_back(read_keys(fields, Source::Kind::kConfigMap, "name"));
  } else if (word == "secret") {
    volume.sources.push_back(read_keys(fields, Source::Kind::kSecret, "secretName"));
  } else if (word == "downwardAPI") {
    volume.sources.push_back(read_downward(fields));
  } else if (const auto sources = fields.need("sources")) {
    for (const Value& item : sources->items()) read_projected_source(item, volume);
  }
}

void read_claim(const Value& value, Volume& volume) {
  Fields fields(value);
  volume.kind = Volume::Kind::kNamed;
  if (const auto name = fields.need("claimName")) {
    volume.path = name->text();
    check_name(*name, volume.path, 253, Dots::kYes);
  }
  fields.read("readOnly", volume.read_only);
}

constexpr std::initializer_list<const char*> kElsewhere = {"awsElasticBlockStore",
                                                           "azureDisk",
                                                           "azureFile",
                                                           "cephfs",
                                                           "cinder",
                                                           "csi",
                                                           "ephemeral",
                                                           "fc",
                                                           "flexVolume",
                                                           "flocker",
                                                           "gitRepo",
                                                           "glusterfs",
                                                           "image",
                                                           "iscsi",
                                                           "nfs",
                                                           "portworxVolume",
                                                           "quobyte",
                                                           "rbd",
                                                           "scaleIO",
                                                           "storageos",
                                                           "gcePersistentDisk",
                                                           "photonPersistentDisk",
                                                           "vsphereVolume"};

}  // namespace

Volume read_volume(const Value& value) {
  Fields fields(value);
  Volume volume{.place = value.place()};
  if (const auto name = fields.need("name")) {
    volume.name = name->text();
    check_name(*name, volume.name, 63, Dots::kNo);
  }
  int kinds = 0;
  const auto part = [&](const char* name, auto read) {
    if (const auto field = fields.find(name)) {
      read(*field);
      ++kinds;
    }
  };
  part("emptyDir", [&](const Value& v) { read_empty_dir(v, volume); });
  part("hostPath", [&](const Value& v) { read_host_path(v, volume); });
  for (const char* kind : {"configMap", "secret", "downwardAPI", "projected"}) {
    part(kind, [&](const Value& v) { read_files(kind, v, volume); });
  }
  part("persistentVolumeClaim", [&](const Value& v) { read_claim(v, volume); });
  for (const char* name : kElsewhere) {
    part(name, [](const Value& v) {
      v.unsupported(
          "volumes are emptyDir, hostPath, configMap, secret, downwardAPI, projected "
          "and persistentVolumeClaim");
    });
  }
  if (kinds > 1) value.wrong(fmt::format("it is of {} kinds: one is needed", kinds));
  // Kubernetes reads a volume of no kind as an emptyDir.
  return volume;
}

}  // namespace trivet::manifest
