// The top of config.json (runtime-spec config.md): version, root, mounts, hooks.
#include "oci/spec_parse.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "base/paths.h"
#include "oci/mount.h"
#include "oci/spec_names.h"

namespace trivet::oci {

namespace {

// Far above any real document: Kubernetes' largest have some hundred KiB.
constexpr size_t kMaxSpecBytes = size_t{4} << 20;
constexpr unsigned kMaxMinorVersion = 3;

// Takes a decimal number without leading zeros off the front of `text`.
std::optional<unsigned> take_number(std::string_view& text) {
  size_t digits = 0;
  unsigned value = 0;
  while (digits < text.size() && digits < 6 && text[digits] >= '0' && text[digits] <= '9') {
    value = value * 10 + static_cast<unsigned>(text[digits++] - '0');
  }
  if (digits == 0 || (digits > 1 && text[0] == '0')) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

bool take_dot(std::string_view& text) {
  if (!text.starts_with('.')) return false;
  text.remove_prefix(1);
  return true;
}

// What semver 2.0 allows after "1.2.3": nothing, "-PRERELEASE", "+BUILD" or both.
bool is_version_suffix(std::string_view text) {
  if (text.empty()) return true;
  if (text.size() == 1 || (text[0] != '-' && text[0] != '+')) return false;
  return std::ranges::all_of(text.substr(1), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '+';
  });
}

Result<> check_version(const Field& field, std::string_view version) {
  std::string_view rest = version;
  const auto major = take_number(rest);
  const bool dot1 = take_dot(rest);
  const auto minor = take_number(rest);
  const bool dot2 = take_dot(rest);
  const auto patch = take_number(rest);
  if (!major || !dot1 || !minor || !dot2 || !patch || !is_version_suffix(rest)) {
    return field.invalid("\"{}\" is no version such as \"1.2.0\"", version);
  }
  if (*major == 1 && *minor <= kMaxMinorVersion) return {};
  return field.invalid(
      "version {} of the runtime specification is not supported: 1.0.0 to 1.{} are", version,
      kMaxMinorVersion);
}

Result<Root> read_root(const Field& field) {
  Root root;
  TRY(field.read_required("path", root.path));
  TRY(field.read("readonly", root.readonly));
  return root;
}

bool has_option(const Mount& mount, std::string_view first, std::string_view second) {
  return std::ranges::any_of(mount.options, [&](const std::string& option) {
    return option == first || option == second;
  });
}

Result<> check_mount(const Field& field, const Mount& mount) {
  const bool bind = is_bind(mount);
  if (mount.type.empty() && !bind) {
    return field.at("type").invalid("missing, and the options have neither bind nor rbind");
  }
  if (bind && mount.source.empty()) return field.at("source").invalid("missing in a bind mount");
  if (mount.uid_mappings.empty() != mount.gid_mappings.empty()) {
    return field.invalid("uidMappings and gidMappings must be given together");
  }
  const bool is_idmapped = !mount.uid_mappings.empty() || has_option(mount, "idmap", "ridmap");
  if (is_idmapped && !bind) return field.invalid("only bind mounts can be id-mapped");
  return {};
}

Result<Mount> read_mount(const Field& field) {
  Mount mount;
  TRY(field.read_required("destination", mount.destination));
  // Relative destinations of old tools start at "/" (config.md, Mounts).
  mount.destination = normalized_path(mount.destination);
  TRY(field.read("type", mount.type));
  TRY(field.read("source", mount.source));
  TRY(field.read("options", mount.options));
  TRY(field.read("uidMappings", mount.uid_mappings, read_id_mapping));
  TRY(field.read("gidMappings", mount.gid_mappings, read_id_mapping));
  TRY(check_mount(field, mount));
  return mount;
}

Result<Hook> read_hook(const Field& field) {
  Hook hook;
  TRY(field.read_required("path", hook.path));
  TRY(check_absolute(field.at("path"), hook.path));
  TRY(field.read("args", hook.args));
  TRY(read_env(field, "env", hook.env));
  TRY(field.read("timeout", hook.timeout));
  if (hook.timeout && *hook.timeout <= 0) {
    return field.at("timeout").invalid("must be greater than zero, not {}", *hook.timeout);
  }
  return hook;
}

Result<> read_hooks(const Field& spec, Hooks& hooks) {
  const Field field = TRY(spec.find("hooks"));
  if (!field) return {};
  TRY(field.read("prestart", hooks.prestart, read_hook));
  TRY(field.read("createRuntime", hooks.create_runtime, read_hook));
  TRY(field.read("createContainer", hooks.create_container, read_hook));
  TRY(field.read("startContainer", hooks.start_container, read_hook));
  TRY(field.read("poststart", hooks.poststart, read_hook));
  return field.read("poststop", hooks.poststop, read_hook);
}

Result<> refuse_other_platforms(const Field& field) {
  for (const std::string_view platform : {"windows", "solaris", "zos", "freebsd"}) {
    if (const Field section = TRY(field.find(platform))) {
      return section.invalid("containers of this platform can't run on Linux");
    }
  }
  return {};
}

Result<Spec> read_spec(const Field& field) {
  Spec spec;
  TRY(field.read_required("ociVersion", spec.oci_version));
  TRY(check_version(field.at("ociVersion"), spec.oci_version));
  TRY(refuse_other_platforms(field));
  TRY(field.read("process", spec.process, read_process));
  TRY(field.read("root", spec.root, read_root));
  if (!spec.root) return field.at("root").invalid("missing");
  TRY(field.read("hostname", spec.hostname));
  TRY(field.read("domainname", spec.domainname));
  TRY(field.read("mounts", spec.mounts, read_mount));
  TRY(read_hooks(field, spec.hooks));
  TRY(field.read("annotations", spec.annotations));
  TRY(field.read("linux", spec.linux_config, read_linux));
  TRY(field.read("vm", spec.vm, read_vm));
  TRY(validate_spec(spec));
  return spec;
}

}  // namespace

Result<IdMapping> read_id_mapping(const Field& field) {
  IdMapping mapping;
  TRY(field.read_required("containerID", mapping.container_id));
  TRY(field.read_required("hostID", mapping.host_id));
  TRY(field.read_required("size", mapping.size));
  const uint64_t start = std::max(mapping.container_id, mapping.host_id);
  if (mapping.size == 0 || start + mapping.size > uint64_t{1} << 32) {
    return field.at("size").invalid("{} is out of range", mapping.size);
  }
  return mapping;
}

Result<> read_env(const Field& field, std::string_view key, std::vector<std::string>& out) {
  const Field env = TRY(field.find(key));
  if (!env) return {};
  out.reserve(TRY(env.array_size()));
  return env.for_each([&](const Field& element) -> Result<> {
    TRY(element.get(out.emplace_back()));
    const size_t name_size = out.back().find('=');
    if (name_size == std::string::npos) {
      return element.invalid("\"{}\" has no \"=\"", out.back());
    }
    if (name_size == 0) return element.invalid("\"{}\" has no name before \"=\"", out.back());
    return {};
  });
}

Result<Spec> parse_spec(std::string_view config_json) {
  JsonDocument document;
  TRY(document.parse(config_json, "config.json", kMaxSpecBytes));
  return read_spec(Field(document.root(), ""));
}

Result<Process> parse_process(std::string_view process_json) {
  JsonDocument document;
  TRY(document.parse(process_json, "process", kMaxSpecBytes));
  return read_process(Field(document.root(), "process"));
}

Result<Resources> parse_resources(std::string_view resources_json) {
  JsonDocument document;
  TRY(document.parse(resources_json, "resources", kMaxSpecBytes));
  return read_resources(Field(document.root(), "resources"));
}

}  // namespace trivet::oci
