#include "runtime/stored_options.h"

#include "base/json.h"

namespace trivet::runtime {

namespace {

Result<std::vector<StoredMount>> read_mounts(const std::string& options_json) {
  const Json document = TRY(parse_json(options_json, "options"));
  std::vector<StoredMount> mounts;
  const auto list = TRY(JsonView(document, "options").find("Mounts"));
  if (!list) return mounts;
  for (const JsonView& entry : TRY(list->elements())) {
    StoredMount mount;
    TRY(entry.read("Type", mount.type));
    TRY(entry.read("Name", mount.name));
    TRY(entry.read("Source", mount.source));
    TRY(entry.read("Destination", mount.destination));
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

Result<std::vector<Join>> read_joins(const std::string& options_json) {
  const Json document = TRY(parse_json(options_json, "options"));
  std::vector<Join> joins;
  const auto object = TRY(JsonView(document, "options").find("Joins"));
  if (!object) return joins;
  for (const auto type : {oci::NamespaceType::kPid, oci::NamespaceType::kNetwork}) {
    std::string id;
    TRY(object->read(std::string(oci::namespace_name(type)), id));
    if (!id.empty()) joins.push_back({.type = type, .container_id = id});
  }
  return joins;
}

}  // namespace

std::vector<StoredMount> stored_mounts(const std::string& options_json) {
  return read_mounts(options_json).value_or(std::vector<StoredMount>());
}

std::vector<Join> stored_joins(const std::string& options_json) {
  return read_joins(options_json).value_or(std::vector<Join>());
}

}  // namespace trivet::runtime
