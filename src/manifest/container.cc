// One container of a pod.
#include <algorithm>

#include "base/text.h"
#include "manifest/fields.h"
#include "manifest/quantity.h"

namespace trivet::manifest {

namespace {

constexpr Range kPort{1, 65535};
constexpr size_t kLabel = 63;  // of DNS

Port read_port(const Value& value) {
  Fields fields(value);
  Port port{.protocol = "tcp", .place = value.place()};
  if (const auto name = fields.find("name")) {
    port.name = name->text();
    check_name(*name, port.name, 15, Dots::kNo);
  }
  if (const auto number = fields.need("containerPort")) {
    port.container_port = static_cast<uint16_t>(number->integer(kPort));
  }
  fields.read_integer("hostPort", port.host_port, kPort);
  fields.read("hostIP", port.host_ip);
  if (const auto protocol = fields.find("protocol")) {
    const auto word = protocol->one_of({"TCP", "UDP", "SCTP"});
    if (word == "UDP") port.protocol = "udp";
    if (word == "SCTP") protocol->unsupported("trivet's network forwards TCP and UDP");
  }
  return port;
}

KeyRef read_key_ref(const Value& value) {
  Fields fields(value);
  KeyRef ref;
  fields.read("name", ref.name);
  if (const auto key = fields.need("key")) ref.key = key->text();
  fields.read("optional", ref.optional);
  return ref;
}

void read_value_from(const Value& value, EnvVar& variable) {
  Fields fields(value);
  int kinds = 0;
  if (const auto ref = fields.find("configMapKeyRef")) {
    variable.from = EnvVar::From::kConfigMap;
    variable.key = read_key_ref(*ref);
    ++kinds;
  }
  if (const auto ref = fields.find("secretKeyRef")) {
    variable.from = EnvVar::From::kSecret;
    variable.key = read_key_ref(*ref);
    ++kinds;
  }
  if (const auto ref = fields.find("fieldRef")) {
    variable.from = EnvVar::From::kField;
    variable.value = read_field_ref(*ref, FieldUse::kVariable);
    ++kinds;
  }
  if (const auto ref = fields.find("resourceFieldRef")) {
    variable.from = EnvVar::From::kResource;
    variable.resource = read_resource_ref(*ref);
    ++kinds;
  }
  fields.refuse("fileKeyRef", "variables come from the manifest, not from files of a volume");
  if (kinds != 1) {
    value.wrong(
        fmt::format("it has {} of configMapKeyRef, secretKeyRef, fieldRef, "
                    "resourceFieldRef: exactly one is needed",
                    kinds));
  }
}

EnvVar read_env_var(const Value& value) {
  Fields fields(value);
  EnvVar variable{.place = value.place()};
  if (const auto name = fields.need("name")) {
    variable.name = name->text();
    if (name->node().kind == Node::Kind::kText &&
        (variable.name.empty() || variable.name.find('=') != std::string::npos)) {
      name->wrong(
          fmt::format("\"{}\": a variable's name is not empty and has no \"=\"", variable.name));
    }
  }
  const auto content = fields.find("value");
  if (content) variable.value = content->text();
  if (const auto from = fields.find("valueFrom")) {
    if (content && !variable.value.empty()) from->wrong("value and valueFrom exclude each other");
    read_value_from(*from, variable);
  }
  return variable;
}

EnvSource read_env_source(const Value& value) {
  Fields fields(value);
  EnvSource source{.place = value.place()};
  fields.read("prefix", source.prefix);
  const auto map = fields.find("configMapRef");
  const auto secret = fields.find("secretRef");
  source.secret = secret.has_value();
  if (map.has_value() == secret.has_value()) {
    value.wrong("exactly one of configMapRef and secretRef is needed");
    return source;
  }
  Fields ref(map ? *map : *secret);
  ref.read("name", source.name);
  ref.read("optional", source.optional);
  return source;
}

void read_sub_path(Fields& fields, VolumeMount& mount) {
  const auto plain = fields.find("subPath");
  const auto expression = fields.find("subPathExpr");
  if (plain && expression) expression->wrong("subPath and subPathExpr exclude each other");
  if (!plain && !expression) return;
  const Value& value = plain ? *plain : *expression;
  mount.sub_path = value.text();
  mount.expand = expression.has_value();
  // An empty one is no sub-path.
  if (!mount.sub_path.empty()) check_inside(value, mount.sub_path);
}

VolumeMount read_mount(const Value& value) {
  using enum VolumeMount::Propagation;
  Fields fields(value);
  VolumeMount mount{.place = value.place()};
  if (const auto name = fields.need("name")) mount.volume = name->text();
  if (const auto path = fields.need("mountPath")) {
    mount.path = path->text();
    check_absolute(*path, mount.path);
    if (mount.path.find(':') != std::string::npos) path->wrong("it has a \":\"");
  }
  fields.read("readOnly", mount.read_only);
  read_sub_path(fields, mount);
  if (const auto field = fields.find("mountPropagation")) {
    const auto word = field->one_of({"None", "HostToContainer", "Bidirectional"});
    if (word == "HostToContainer") mount.propagation = kHostToContainer;
    if (word == "Bidirectional") mount.propagation = kBidirectional;
  }
  // Read-only is recursive here in any case.
  if (const auto field = fields.find("recursiveReadOnly")) {
    const auto word = field->one_of({"Disabled", "IfPossible", "Enabled"});
    if (word == "Enabled" && !mount.read_only) field->wrong("it needs readOnly");
  }
  return mount;
}

template <typename Item>
void read_list(Fields& fields, const char* name, std::vector<Item>& target,
               Item (*read)(const Value&)) {
  const auto list = fields.find(name);
  if (!list) return;
  for (const Value& item : list->items()) target.push_back(read(item));
}

void read_probes(Fields& fields, Container& container) {
  const std::vector<Port>& ports = container.ports;
  if (const auto probe = fields.find("startupProbe")) {
    container.startup = read_probe(*probe, ProbeKind::kStartup, ports);
  }
  if (const auto probe = fields.find("livenessProbe")) {
    container.liveness = read_probe(*probe, ProbeKind::kLiveness, ports);
  }
  if (const auto probe = fields.find("readinessProbe")) {
    container.readiness = read_probe(*probe, ProbeKind::kReadiness, ports);
  }
  if (const auto hooks = fields.find("lifecycle")) read_lifecycle(*hooks, container);
  const bool any = container.startup || container.liveness || container.readiness ||
                   container.post_start || container.pre_stop;
  if (any && container.role == Role::kInit) {
    fields.value().wrong("an init container that ends has no probes and hooks",
                         "restartPolicy: Always makes it a sidecar, which has them");
  }
}

void read_pull_policy(Fields& fields, Container& container) {
  const auto policy = fields.find("imagePullPolicy");
  if (!policy) return;
  const auto word = policy->one_of({"Always", "IfNotPresent", "Never"});
  if (word == "Always") container.pull_policy = "always";
  if (word == "IfNotPresent") container.pull_policy = "missing";
  if (word == "Never") container.pull_policy = "never";
}

void read_restart_policy(Fields& fields, Container& container) {
  const auto policy = fields.find("restartPolicy");
  if (!policy) return;
  if (container.role == Role::kMain) {
    policy->unsupported("a container that is no init container follows the pod's restartPolicy");
    return;
  }
  if (policy->one_of({"Always"})) container.role = Role::kSidecar;
}

void read_program(Fields& fields, Container& container) {
  if (const auto name = fields.need("name")) {
    container.name = name->text();
    check_name(*name, container.name, kLabel, Dots::kNo);
  }
  if (const auto image = fields.need("image")) {
    container.image = image->text();
    if (image->node().kind == Node::Kind::kText && trim(container.image) != container.image) {
      image->wrong("an image's name has no blanks around it");
    }
    if (image->node().kind == Node::Kind::kText && container.image.empty()) {
      image->wrong("an image is needed");
    }
  }
  fields.read("command", container.command);
  fields.read("args", container.args);
  if (const auto directory = fields.find("workingDir")) {
    container.working_dir = directory->text();
    if (!container.working_dir.empty()) check_absolute(*directory, container.working_dir);
  }
  fields.read("stdin", container.stdin_open);
  fields.read("tty", container.tty);
  if (const auto once = fields.find("stdinOnce"); once && once->flag()) {
    once->unsupported("stdin stays open for whoever attaches next");
  }
}

}  // namespace

ResourceRef read_resource_ref(const Value& value) {
  Fields fields(value);
  ResourceRef ref;
  fields.read("containerName", ref.container);
  if (const auto resource = fields.need("resource")) {
    ref.resource =
        resource->one_of({"limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
            .value_or("");
  }
  if (const auto divisor = fields.find("divisor")) {
    const auto amount = parse_thousandths(divisor->word());
    if (!amount) {
      divisor->wrong(amount.error().message());
    } else {
      ref.divisor_thousandths = *amount;  // "0", as the API server writes it, is none
    }
  }
  return ref;
}

Container read_container(const Value& value, Role role) {
  Fields fields(value);
  Container container{.role = role, .place = value.place()};
  read_program(fields, container);
  read_restart_policy(fields, container);
  read_list(fields, "ports", container.ports, read_port);
  read_list(fields, "envFrom", container.env_from, read_env_source);
  read_list(fields, "env", container.env, read_env_var);
  read_list(fields, "volumeMounts", container.mounts, read_mount);
  read_probes(fields, container);
  read_pull_policy(fields, container);
  if (const auto field = fields.find("resources")) container.resources = read_resources(*field);
  if (const auto field = fields.find("securityContext")) {
    container.security = read_container_security(*field);
  }
  fields.refuse("volumeDevices", "trivet gives containers no block devices of volumes");
  fields.refuse("restartPolicyRules", "a container follows the pod's restartPolicy");
  // A container's last log lines are what is shown of its end.
  fields.accept({"terminationMessagePath", "terminationMessagePolicy", "resizePolicy"});
  for (const VolumeMount& mount : container.mounts) {
    if (mount.propagation == VolumeMount::Propagation::kBidirectional &&
        !container.security.privileged) {
      value.problems().wrong(mount.place, "Bidirectional needs a privileged container");
    }
  }
  return container;
}

}  // namespace trivet::manifest
