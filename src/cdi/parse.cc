// The frame of a CDI specification: version, kind, devices.
#include "cdi/parse.h"

#include <algorithm>

#include "base/text.h"
#include "cdi/names.h"

namespace trivet::cdi {

namespace {

using manifest::Fields;
using manifest::Value;

size_t age_of(std::string_view number) {
  const auto& known = known_versions();
  return static_cast<size_t>(std::ranges::find(known, number) - known.begin());
}

// Nothing (reported) when it is missing or unknown.
std::optional<std::string> read_version(Fields& fields) {
  const auto value = fields.need("cdiVersion");
  if (!value) return std::nullopt;
  std::string number = value->text();
  if (number.starts_with('v')) number.erase(0, 1);
  if (age_of(number) < known_versions().size()) return number;
  if (value->node().kind == yaml::Node::Kind::kText) {
    value->wrong(fmt::format("\"{}\": no version that is understood", value->text()),
                 fmt::format("known are {}", join(known_versions(), ", ")));
  }
  return std::nullopt;
}

std::string read_kind(Fields& fields, const Version& version) {
  const auto value = fields.need("kind");
  if (!value) return {};
  std::string kind = value->text();
  if (value->node().kind != yaml::Node::Kind::kText) return {};
  if (const auto checked = check_kind(kind); !checked) {
    value->wrong(checked.error().message());
    return {};
  }
  if (kind.find('.', kind.find('/')) != std::string::npos) {
    version.require("0.6.0", *value, "a \".\" in the class");
  }
  return kind;
}

std::map<std::string, std::string> read_annotations(Fields& fields, const Version& version) {
  const auto value = fields.find("annotations");
  if (!value) return {};
  version.require("0.6.0", *value, "annotations");
  return value->text_map();
}

std::string read_device_name(const Value& value, const Version& version) {
  std::string name = value.text();
  if (value.node().kind != yaml::Node::Kind::kText) return {};
  if (const auto checked = check_device_name(name); !checked) {
    value.wrong(checked.error().message());
    return {};
  }
  if (name.front() >= '0' && name.front() <= '9') {
    version.require("0.5.0", value, "a device name that begins with a digit");
  }
  return name;
}

Device read_device(const Value& value, const Version& version) {
  Fields fields(value);
  Device device;
  if (const auto name = fields.need("name")) device.name = read_device_name(*name, version);
  device.annotations = read_annotations(fields, version);
  const auto edits = fields.need("containerEdits");
  if (!edits) return device;
  device.edits = read_edits(*edits, version);
  if (device.edits.empty()) edits->wrong("it is empty: the device would change nothing");
  return device;
}

void read_devices(Fields& fields, const Version& version, Spec& spec) {
  const auto list = fields.need("devices");
  if (!list) return;
  for (const Value& item : list->items()) {
    Device device = read_device(item, version);
    if (!device.name.empty() &&
        std::ranges::find(spec.devices, device.name, &Device::name) != spec.devices.end()) {
      item.wrong(fmt::format("a second device \"{}\"", device.name));
    }
    spec.devices.push_back(std::move(device));
  }
  if (list->node().kind == yaml::Node::Kind::kList && spec.devices.empty()) {
    list->wrong("it is empty: at least one device is needed");
  }
}

Spec read_spec(const Value& value) {
  Fields fields(value);
  Spec spec;
  // Of an unknown version nothing more can be said than that.
  const auto number = read_version(fields);
  const Version version(number.value_or(known_versions().back()));
  spec.version = number.value_or("");
  spec.kind = read_kind(fields, version);
  spec.annotations = read_annotations(fields, version);
  read_devices(fields, version, spec);
  if (const auto edits = fields.find("containerEdits")) spec.edits = read_edits(*edits, version);
  return spec;
}

}  // namespace

const std::vector<std::string>& known_versions() {
  static const std::vector<std::string> kVersions = {"0.3.0", "0.4.0", "0.5.0", "0.6.0",
                                                     "0.7.0", "0.8.0", "1.0.0", "1.1.0"};
  return kVersions;
}

Version::Version(std::string number) : number_(std::move(number)) {}

bool Version::is_at_least(std::string_view number) const {
  return age_of(number_) >= age_of(number);
}

void Version::require(std::string_view number, const Value& value, std::string_view what) const {
  if (is_at_least(number)) return;
  value.wrong(
      fmt::format("{} came with cdiVersion {}, and this file has {}", what, number, number_));
}

Result<Spec> parse_spec(std::string_view text, const std::string& file) {
  const auto documents = TRY(yaml::parse_yaml(text, file));
  if (documents.size() != 1) {
    return fail(ErrorCode::kInvalidArgument, "{}: it has {} documents: one is needed", file,
                documents.size());
  }
  manifest::Problems problems(false);
  const yaml::Node& root = *documents.front();
  Spec spec = read_spec(Value(documents.front(), {file, root.line, root.column, ""}, problems));
  if (!problems.none()) return std::unexpected(problems.error());
  spec.file = file;
  return spec;
}

}  // namespace trivet::cdi
