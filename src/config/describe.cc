// What people see of a configuration, and what containers get of it.
#include "config/keys.h"
#include "config/registries.h"

namespace trivet {

namespace {

// Stored sizes are what flags give, where 0 is no limit.
template <typename T>
std::optional<T> limit_of(int64_t value) {
  return value == 0 ? std::nullopt : std::optional<T>(static_cast<T>(value));
}

}  // namespace

std::vector<SettingInfo> Configuration::describe() const {
  std::vector<SettingInfo> all;
  const auto add = [&](const std::string& key, const nlohmann::ordered_json& value,
                       const char* help) {
    all.push_back(
        {.key = key,
         .json = value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace),
         .value = config::value_text(value),
         .origin = origin(key),
         .help = help});
  };
  for (const config::Key& key : config::keys()) {
    add(key.path, config::value_json(key, settings_), key.help);
  }
  const auto registries = config::registry_values(settings_);
  if (registries.empty()) {
    add(config::kRegistriesKey, nlohmann::ordered_json::object(), config::kRegistriesHelp);
  }
  for (const config::RegistryValue& entry : registries) add(entry.key, entry.value, entry.help);
  return all;
}

RunOptions default_run_options(const Settings& settings) {
  RunOptions run;
  run.network = settings.network;
  run.pull = settings.pull;
  run.memory = limit_of<int64_t>(settings.memory);
  run.pids = limit_of<int64_t>(settings.pids);
  if (settings.cpus != 0) {
    constexpr int64_t kPeriod = 100000;
    run.cpu_quota = settings.cpus * kPeriod / 1000;
    run.cpu_period = kPeriod;
  }
  run.shm_size = settings.shm_size;
  run.stop_timeout = std::chrono::ceil<std::chrono::seconds>(settings.stop_timeout);
  if (settings.timeout.count() != 0) run.timeout = settings.timeout;
  run.log_max_size = static_cast<uint64_t>(settings.log_max_size);
  run.log_max_files = static_cast<int>(settings.log_max_files);
  return run;
}

PodOptions default_pod_options(const Settings& settings) {
  PodOptions pod;
  pod.default_isolation = settings.runtime;
  pod.experimental = settings.experimental;
  pod.start_timeout = settings.pod_start_timeout;
  pod.grace = std::chrono::ceil<std::chrono::seconds>(settings.pod_grace);
  pod.microvm_max_cpus = settings.microvm_max_cpus;
  pod.microvm_max_memory = settings.microvm_max_memory;
  return pod;
}

EngineOptions default_engine_options(const Settings& settings) {
  return {.data_dir = settings.data_directory,
          .state_dir = settings.state_directory,
          .max_containers = static_cast<size_t>(settings.max_containers),
          .images = {.size = settings.image_size,
                     .layers = settings.image_layers,
                     .layer_size = settings.image_layer_size,
                     .layer_files = settings.image_layer_files},
          .registries = settings.registries};
}

}  // namespace trivet
