// containerEdits of a CDI specification.
#include <algorithm>
#include <set>

#include "base/paths.h"
#include "cdi/parse.h"

namespace trivet::cdi {

namespace {

using manifest::Fields;
using manifest::Range;
using manifest::Value;
using yaml::Node;

constexpr Range kId{0, UINT32_MAX};
constexpr Range kNumber{0, INT32_MAX};
constexpr size_t kMaxClosId = 4095;

template <typename T, typename Read>
void read_each(Fields& fields, const char* name, std::vector<T>& target, Read read) {
  const auto list = fields.find(name);
  if (!list) return;
  for (const Value& item : list->items()) target.push_back(read(item));
}

// Says nothing, in whatever version: programs write all members of their types.
bool is_empty_list(const Value& value) {
  return value.node().kind == Node::Kind::kList && value.node().items.empty();
}

// A path that means the same however it is looked at.
std::string read_path(const Value& value) {
  std::string path = value.text();
  if (value.node().kind != Node::Kind::kText) return path;
  if (path.empty() || path.front() != '/') {
    value.wrong(fmt::format("\"{}\": it is an absolute path", path));
    return path;
  }
  return normalized_path(path);
}

std::string need_path(Fields& fields, const char* name) {
  const auto value = fields.need(name);
  return value ? read_path(*value) : std::string();
}

void read_env(Fields& fields, std::vector<std::string>& target) {
  read_each(fields, "env", target, [](const Value& item) {
    std::string entry = item.text();
    const size_t equals = entry.find('=');
    if (item.node().kind == Node::Kind::kText && (equals == std::string::npos || equals == 0)) {
      item.wrong(fmt::format("\"{}\": it is NAME=VALUE", entry));
    }
    return entry;
  });
}

std::string read_permissions(Fields& fields) {
  const auto value = fields.find("permissions");
  if (!value) return "rwm";
  std::string text = value->text();
  if (text.empty()) return "rwm";
  if (text == "none") return {};
  if (text.find_first_not_of("rwm") != std::string::npos) {
    value->wrong(fmt::format("\"{}\": it is of r, w and m, or none", text));
  }
  return text;
}

std::optional<char> read_type(Fields& fields) {
  const auto value = fields.find("type");
  if (!value || (value->node().kind == Node::Kind::kText && value->node().text.empty())) {
    return std::nullopt;
  }
  const auto word = value->one_of({"b", "c", "u", "p"});
  return word ? std::optional(word->front()) : std::nullopt;
}

DeviceNode read_device_node(const Value& value, const Version& version) {
  Fields fields(value);
  DeviceNode node;
  node.path = need_path(fields, "path");
  node.host_path = node.path;
  if (const auto host = fields.find("hostPath"); host && !host->node().text.empty()) {
    version.require("0.5.0", *host, "hostPath");
    node.host_path = read_path(*host);
  }
  node.type = read_type(fields);
  fields.read_integer("major", node.major, kNumber);
  fields.read_integer("minor", node.minor, kNumber);
  fields.read_integer("fileMode", node.file_mode, kId);
  // Written by programs that take it from stat(2), with the type in it.
  if (node.file_mode) *node.file_mode &= 07777U;
  node.permissions = read_permissions(fields);
  fields.read_integer("uid", node.uid, kId);
  fields.read_integer("gid", node.gid, kId);
  return node;
}

bool binds(const std::string& option) {
  return option == "bind" || option == "rbind";
}

oci::Mount read_mount(const Value& value, const Version& version) {
  Fields fields(value);
  oci::Mount mount;
  mount.source = need_path(fields, "hostPath");
  mount.destination = need_path(fields, "containerPath");
  if (mount.destination == "/") value.wrong("containerPath: the root itself can't be replaced");
  if (const auto type = fields.find("type"); type && !type->node().text.empty()) {
    version.require("0.4.0", *type, "type of a mount");
    mount.type = type->text();
  }
  fields.read("options", mount.options);
  // The specification's own examples have neither type nor options, and mean the host's file.
  if (mount.type.empty() && std::ranges::none_of(mount.options, binds)) {
    mount.options.emplace_back("rbind");
  }
  if (mount.type.empty()) mount.type = "bind";
  return mount;
}

Hook read_hook(const Value& value) {
  Fields fields(value);
  Hook hook;
  if (const auto stage = fields.need("hookName")) {
    hook.stage = stage
                     ->one_of({"prestart", "createRuntime", "createContainer", "startContainer",
                               "poststart", "poststop"})
                     .value_or("");
  }
  hook.hook.path = need_path(fields, "path");
  fields.read("args", hook.hook.args);
  read_env(fields, hook.hook.env);
  fields.read_integer("timeout", hook.hook.timeout, {1, INT32_MAX});
  return hook;
}

void read_clos_id(Fields& fields, oci::IntelRdt& rdt) {
  const auto value = fields.find("closID");
  if (!value) return;
  rdt.clos_id = value->text();
  const std::string& id = rdt.clos_id;
  const bool is_file = id.size() <= kMaxClosId && id != "." && id != ".." &&
                       id.find_first_of("/\n") == std::string::npos;
  if (!is_file && id != "/") value->wrong("it is the name of one directory, or \"/\"");
}

oci::IntelRdt read_intel_rdt(const Value& value, const Version& version) {
  version.require("0.7.0", value, "intelRdt");
  Fields fields(value);
  oci::IntelRdt rdt;
  read_clos_id(fields, rdt);
  fields.read("l3CacheSchema", rdt.l3_cache_schema);
  fields.read("memBwSchema", rdt.mem_bw_schema);
  if (const auto schemata = fields.find("schemata")) {
    version.require("1.1.0", *schemata, "schemata");
    rdt.schemata = schemata->texts();
  }
  if (const auto monitoring = fields.find("enableMonitoring")) {
    version.require("1.1.0", *monitoring, "enableMonitoring");
    rdt.enable_monitoring = monitoring->flag();
  }
  if (version.is_at_least("1.1.0")) return rdt;
  // What 1.1.0 has made one switch of.
  for (const char* name : {"enableCMT", "enableMBM"}) {
    bool on = false;
    fields.read(name, on);
    rdt.enable_monitoring |= on;
  }
  return rdt;
}

void read_gids(Fields& fields, const Version& version, std::vector<uint32_t>& target) {
  const auto list = fields.find("additionalGids");
  if (!list || is_empty_list(*list)) return;
  version.require("0.7.0", *list, "additionalGids");
  for (const Value& item : list->items()) {
    // Values of 0 are ignored, says the specification.
    if (const auto id = static_cast<uint32_t>(item.integer(kId)); id != 0) target.push_back(id);
  }
}

std::string read_interface(Fields& fields, const char* name) {
  const auto value = fields.need(name);
  if (!value) return {};
  std::string text = value->text();
  if (value->node().kind == Node::Kind::kText && text.empty()) value->wrong("it is empty");
  return text;
}

void read_net_devices(Fields& fields, const Version& version, Edits& edits) {
  const auto list = fields.find("netDevices");
  if (!list || is_empty_list(*list)) return;
  version.require("1.1.0", *list, "netDevices");
  std::set<std::string> names;
  for (const Value& item : list->items()) {
    Fields device(item);
    const std::string host = read_interface(device, "hostInterfaceName");
    const std::string name = read_interface(device, "name");
    if (!edits.net_devices.emplace(host, name).second) {
      item.wrong(fmt::format("the interface \"{}\" is moved twice", host));
    }
    if (!names.insert(name).second) {
      item.wrong(fmt::format("two interfaces get the name \"{}\"", name));
    }
  }
}

}  // namespace

Edits read_edits(const Value& value, const Version& version) {
  Fields fields(value);
  Edits edits;
  read_env(fields, edits.env);
  read_each(fields, "deviceNodes", edits.device_nodes,
            [&](const Value& item) { return read_device_node(item, version); });
  read_each(fields, "mounts", edits.mounts,
            [&](const Value& item) { return read_mount(item, version); });
  read_each(fields, "hooks", edits.hooks, read_hook);
  if (const auto rdt = fields.find("intelRdt")) edits.intel_rdt = read_intel_rdt(*rdt, version);
  read_gids(fields, version, edits.additional_gids);
  read_net_devices(fields, version, edits);
  return edits;
}

}  // namespace trivet::cdi
