// JSON schemas for editors and CI, made from the table of keys.
#include "base/runtime_name.h"
#include "base/text.h"
#include "config/keys.h"
#include "config/registries.h"

namespace trivet {

namespace {

using config::Form;
using config::Key;
using OrderedJson = nlohmann::ordered_json;

// Numbers are for the reader to judge: a schema can't compare "64m" with "1g".
OrderedJson text_or_number(const char* pattern) {
  return {{{"type", "string"}, {"pattern", pattern}}, {{"type", "number"}, {"minimum", 0}}};
}

OrderedJson alternatives_of(const Key& key) {
  switch (key.form) {
    case Form::kFlag:
      return {{{"type", "boolean"}}};
    case Form::kCount:
      return {{{"type", "integer"}, {"minimum", key.least}, {"maximum", key.most}}};
    case Form::kCpus:
      return {{{"type", "number"},
               {"minimum", static_cast<double>(key.least) / 1000},
               {"maximum", key.most / 1000}}};
    case Form::kSize:
      return text_or_number("^[0-9]+(\\.[0-9]+)?([kKmMgGtTpP]([iI]?[bB])?|[bB])?$");
    case Form::kTime:
      return text_or_number("^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$");
    case Form::kChoice:
      return {{{"enum", key.choices}}};
    case Form::kRuntime: {
      OrderedJson names = runtime_names();
      names.push_back(nullptr);  // what YAML makes of the name null
      return {{{"enum", std::move(names)}}};
    }
    case Form::kPath:
      return {{{"type", "string"}, {"pattern", "^(/|~/)"}}};
    case Form::kFuel:
      return {
          {{"type", "integer"}, {"minimum", key.least}}, {{"enum", {"off"}}}, {{"const", false}}};
  }
  return {};
}

OrderedJson key_schema(const Key& key) {
  OrderedJson alternatives = alternatives_of(key);
  if (key.none == config::NoneIs::kNoLimit) alternatives.push_back({{"enum", {"none"}}});
  OrderedJson schema{{"description", key.help}};
  const OrderedJson initial = config::value_json(key, Settings{});
  if (!initial.is_string() || !initial.get_ref<const std::string&>().empty())
    schema["default"] = initial;
  if (alternatives.size() == 1) {
    schema.update(alternatives.front());
  } else {
    schema["anyOf"] = std::move(alternatives);
  }
  return schema;
}

OrderedJson object_schema() {
  return {
      {"type", "object"}, {"additionalProperties", false}, {"properties", OrderedJson::object()}};
}

OrderedJson& section_of(OrderedJson& schema, const std::string& name) {
  OrderedJson& properties = schema["properties"];
  if (!properties.contains(name)) {
    properties[name] = object_schema();
    // A section with everything in it commented out.
    properties[name]["type"] = {"object", "null"};
  }
  return properties[name]["properties"];
}

}  // namespace

std::string config_schema(ConfigFileKind kind) {
  const bool is_project = kind == ConfigFileKind::kProject;
  OrderedJson schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                     {"title", is_project ? "trivet's project.yml" : "trivet's config.yml"}};
  schema.update(object_schema());
  for (const Key& key : config::keys()) {
    if (is_project && key.project == config::ProjectMay::kNothing) continue;
    const std::vector<std::string> words = split(key.path, '.');
    OrderedJson& place =
        words.size() == 1 ? schema["properties"] : section_of(schema, words.front());
    place[words.back()] = key_schema(key);
  }
  if (!is_project) schema["properties"][config::kRegistriesKey] = config::registries_schema();
  return schema.dump(2) + '\n';
}

}  // namespace trivet
