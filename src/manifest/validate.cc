// What can be judged only when the whole manifest is known.
#include <algorithm>
#include <set>

#include "base/text.h"
#include "manifest/fields.h"

namespace trivet::manifest {

namespace {

// What a cluster gives to every pod beside its token.
constexpr const char* kClusterCertificate = "kube-root-ca.crt";
constexpr size_t kMostContainerName = 128;  // of trivet: POD-CONTAINER

std::string list_of(const std::vector<std::string>& names) {
  return names.empty() ? "none" : join(names, ", ");
}

std::string nearest_hint(const std::string& name, const std::vector<std::string>& known) {
  const std::string nearest = nearest_name(name, known);
  return nearest.empty() ? "" : fmt::format("did you mean \"{}\"?", nearest);
}

class Validation {
 public:
  Validation(const Manifest& manifest, Problems& problems)
      : manifest_(manifest), pod_(manifest.pod), problems_(problems) {}

  void run() {
    check_names();
    check_ports();
    for (const Volume& volume : pod_.volumes) check_volume(volume);
    for (const Container& container : pod_.containers) check_container(container);
    check_pod();
  }

 private:
  void check_names() {
    std::set<std::string> names;
    for (const Container& container : pod_.containers) {
      if (!names.insert(container.name).second) {
        problems_.wrong(container.place,
                        fmt::format("there is another container \"{}\"", container.name));
      }
      if (pod_.name.size() + 1 + container.name.size() > kMostContainerName) {
        problems_.wrong(container.place,
                        fmt::format("the names of the pod and the container have more than {} "
                                    "letters together",
                                    kMostContainerName - 1));
      }
    }
    names.clear();
    for (const Volume& volume : pod_.volumes) {
      if (names.insert(volume.name).second) continue;
      problems_.wrong(volume.place, fmt::format("there is another volume \"{}\"", volume.name));
    }
  }

  void check_ports() {
    std::set<std::string> published;
    for (const Container& container : pod_.containers) {
      std::set<std::string> names;
      for (const Port& port : container.ports) {
        if (!port.name.empty() && !names.insert(port.name).second) {
          problems_.wrong(port.place,
                          fmt::format("the container has another port \"{}\"", port.name));
        }
        check_host_port(port, published);
      }
    }
  }

  void check_host_port(const Port& port, std::set<std::string>& published) {
    if (port.host_port == 0) return;
    if (pod_.host_network && port.host_port != port.container_port) {
      problems_.wrong(port.place, "with hostNetwork, hostPort and containerPort are the same");
    }
    const std::string name = fmt::format("{} {}/{}", port.host_ip, port.host_port, port.protocol);
    if (!published.insert(name).second) {
      problems_.wrong(port.place,
                      fmt::format("host port {}/{} is there twice", port.host_port, port.protocol));
    }
  }

  // ConfigMaps and Secrets.

  const Data* find_data(bool secret, const std::string& name, const Place& place, bool optional) {
    const auto& all = secret ? manifest_.secrets : manifest_.config_maps;
    const auto found = all.find(name);
    if (found != all.end()) return &found->second;
    if (optional) return nullptr;
    if (!secret && name == kClusterCertificate) {
      problems_.unsupported(place, "there is no API server whose certificate it has");
      return nullptr;
    }
    std::vector<std::string> names;
    for (const auto& [known, data] : all) names.push_back(known);
    std::string hint = nearest_hint(name, names);
    if (hint.empty()) {
      hint = fmt::format("add it to the manifest, or give its file with --configmap");
    }
    problems_.wrong(place,
                    fmt::format("there is no {} \"{}\": known are {}",
                                secret ? "Secret" : "ConfigMap", name, list_of(names)),
                    hint);
    return nullptr;
  }

  void check_key(const Data& data, const std::string& key, const Place& place, bool optional) {
    if (optional || data.entries.contains(key)) return;
    std::vector<std::string> keys;
    for (const auto& [known, content] : data.entries) keys.push_back(known);
    problems_.wrong(place, fmt::format("it has no key \"{}\": its keys are {}", key, list_of(keys)),
                    nearest_hint(key, keys));
  }

  void check_volume(const Volume& volume) {
    std::set<std::string> paths;
    for (const Source& source : volume.sources) {
      const Data* data = source.kind == Source::Kind::kDownward
                             ? nullptr
                             : find_data(source.kind == Source::Kind::kSecret, source.name,
                                         source.place, source.optional);
      for (const Item& item : source.items) {
        if (data != nullptr) check_key(*data, item.key, item.place, source.optional);
        if (item.resource) check_resource(*item.resource, item.resource->container, item.place);
        if (!paths.insert(item.path).second) {
          problems_.wrong(item.place, fmt::format("\"{}\" is in the volume twice", item.path));
        }
      }
    }
  }

  void check_resource(const ResourceRef& ref, const std::string& name, const Place& place) {
    const auto container = std::ranges::find(pod_.containers, name, &Container::name);
    if (container == pod_.containers.end()) {
      problems_.wrong(place, fmt::format("the pod has no container \"{}\"", name));
      return;
    }
    const Resources& resources = container->resources;
    const bool has = ref.resource == "limits.cpu"      ? resources.cpu_limit.has_value()
                     : ref.resource == "limits.memory" ? resources.memory_limit.has_value()
                     : ref.resource == "requests.cpu"  ? resources.cpu_request.has_value()
                                                       : resources.memory_request.has_value();
    if (!has) {
      problems_.wrong(place, fmt::format("container \"{}\" has no {}", name, ref.resource));
    }
  }

  // Containers.

  void check_container(const Container& container) {
    for (const EnvSource& source : container.env_from) {
      find_data(source.secret, source.name, source.place, source.optional);
    }
    for (const EnvVar& variable : container.env) check_variable(container, variable);
    check_mounts(container);
    check_user(container);
    if (!container.isolation.empty() && pod_.isolation == "microvm" &&
        container.isolation != "microvm") {
      problems_.unsupported(container.place,
                            fmt::format("the pod is one microVM, and a container that is {} would "
                                        "be beside it",
                                        container.isolation));
    }
    if (container.isolation == "microvm" && pod_.isolation != "microvm") check_machine(container);
  }

  // A machine of its own among containers that are none.
  void check_machine(const Container& container) {
    if (pod_.host_network) {
      problems_.wrong(container.place, "a microVM can't have the host's network");
    }
    if (pod_.host_pid || pod_.share_pid) {
      problems_.wrong(container.place,
                      fmt::format("a microVM has no part in {}: its processes are those of "
                                  "a kernel of its own",
                                  pod_.host_pid ? "hostPID" : "shareProcessNamespace"));
    }
  }

  void check_variable(const Container& container, const EnvVar& variable) {
    if (variable.from == EnvVar::From::kResource) {
      const std::string& name = variable.resource.container;
      check_resource(variable.resource, name.empty() ? container.name : name, variable.place);
    }
    const bool secret = variable.from == EnvVar::From::kSecret;
    if (!secret && variable.from != EnvVar::From::kConfigMap) return;
    const KeyRef& key = variable.key;
    const Data* data = find_data(secret, key.name, variable.place, key.optional);
    if (data != nullptr) check_key(*data, key.key, variable.place, key.optional);
  }

  void check_mounts(const Container& container) {
    std::set<std::string> paths;
    for (const VolumeMount& mount : container.mounts) {
      if (!paths.insert(mount.path).second) {
        problems_.wrong(mount.place, fmt::format("\"{}\" is mounted on twice", mount.path));
      }
      const auto volume = std::ranges::find(pod_.volumes, mount.volume, &Volume::name);
      if (volume == pod_.volumes.end()) {
        std::vector<std::string> names;
        for (const Volume& known : pod_.volumes) names.push_back(known.name);
        problems_.wrong(
            mount.place,
            fmt::format("the pod has no volume \"{}\": known are {}", mount.volume, list_of(names)),
            nearest_hint(mount.volume, names));
      } else if (volume->memory && !mount.sub_path.empty()) {
        problems_.unsupported(mount.place, "a volume in memory is mounted as a whole");
      }
    }
  }

  void check_user(const Container& container) {
    const ContainerSecurity& own = container.security;
    const PodSecurity& shared = pod_.security;
    const auto user = own.run_as_user ? own.run_as_user : shared.run_as_user;
    const auto group = own.run_as_group ? own.run_as_group : shared.run_as_group;
    const auto non_root = own.run_as_non_root ? own.run_as_non_root : shared.run_as_non_root;
    if (group && !user) {
      problems_.wrong(container.place, "runAsGroup needs runAsUser");
    }
    // Said in one place, it has been found where it stands.
    const bool apart = own.run_as_user.has_value() != own.run_as_non_root.has_value();
    if (non_root.value_or(false) && user == 0U && apart) {
      problems_.wrong(container.place, "runAsUser is 0, root, and runAsNonRoot is true");
    }
  }

  void check_pod() {
    if (pod_.host_pid && pod_.isolation == "microvm") {
      problems_.wrong(pod_.place, "a microVM can't see the host's processes");
    }
    if (!pod_.host_network) return;
    for (const auto& [name, value] : pod_.security.sysctls) {
      if (!name.starts_with("net.")) continue;
      problems_.wrong(pod_.place,
                      fmt::format("sysctl {}: with hostNetwork it would be the host's", name));
    }
    if (pod_.isolation == "microvm") {
      problems_.wrong(pod_.place, "a microVM can't have the host's network");
    }
  }

  const Manifest& manifest_;
  const Pod& pod_;
  Problems& problems_;
};

}  // namespace

void validate(const Manifest& manifest, Problems& problems) {
  Validation(manifest, problems).run();
}

}  // namespace trivet::manifest
