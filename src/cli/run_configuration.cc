#include "cli/run_configuration.h"

#include <algorithm>

#include "base/runtime_name.h"
#include "payload/microvm/accelerator.h"
#include "payload/microvm/machine.h"
#include "payload/microvm/sizes.h"
#include "payload/microvm/vmm_choice.h"
#include "payload/wasm/limits.h"
#include "runtime/default_runtime.h"
#include "trivet/config.h"

namespace trivet::cli {

namespace {

// What is particular to an isolation is said by annotations: whether the container has that one is
// not known yet. The user's own annotations are stronger.
class Annotations {
 public:
  Annotations(const GivenOptions& given, RunOptions& run) : given_(given), run_(run) {}

  void set(const char* option, const char* name, const std::string& value,
           const std::string& standard) {
    if (value != standard && !given_->contains(option)) run_.annotations.try_emplace(name, value);
  }
  void set(const char* option, const char* name, int64_t value, int64_t standard) {
    set(option, name, std::to_string(value), std::to_string(standard));
  }

 private:
  const GivenOptions& given_;
  RunOptions& run_;
};

void annotate(const GivenOptions& given, const Settings& own, RunOptions& run) {
  namespace microvm = payload::microvm;
  constexpr unsigned kMib = 20;
  const Settings standard;
  Annotations annotations(given, run);
  annotations.set("--isolation", runtime::kDefaultRuntimeAnnotation, own.runtime, "");
  annotations.set("--fuel", payload::wasm::kFuelAnnotation, own.fuel, standard.fuel);
  annotations.set("--vmm", microvm::kVmmAnnotation, own.microvm_vmm, standard.microvm_vmm);
  annotations.set("--accel", microvm::kAcceleratorAnnotation, own.microvm_accelerator,
                  standard.microvm_accelerator);
  annotations.set("", microvm::kTemplateAnnotation, own.microvm_templates ? "on" : "off", "on");
  annotations.set("--disk", microvm::kDiskAnnotation, own.microvm_disk, standard.microvm_disk);
  annotations.set("", microvm::kMaxCpusAnnotation, own.microvm_max_cpus, standard.microvm_max_cpus);
  annotations.set("", microvm::kMaxMemoryAnnotation, own.microvm_max_memory,
                  standard.microvm_max_memory);
  if (!run.cpu_quota && run.cpuset_cpus.empty()) {
    annotations.set("", "krun.cpus", std::min(own.microvm_cpus, own.microvm_max_cpus),
                    standard.microvm_cpus);
  }
  if (!run.memory) {
    const int64_t memory = std::min(own.microvm_memory, own.microvm_max_memory);
    annotations.set("", "krun.ram_mib", memory >> kMib, standard.microvm_memory >> kMib);
  }
}

enum class Isolation { kGiven, kConfigured };

Result<> check_runtime(const Configuration& configuration, Isolation isolation) {
  if (configuration.settings().runtime != "null" || isolation == Isolation::kGiven) return {};
  return std::unexpected(null_runtime_error(origin_text(configuration.origin("runtime"))));
}

}  // namespace

GivenOptions watch_given(Command& command) {
  auto given = std::make_shared<std::set<std::string>>();
  for (OptionSpec& option : command.options) {
    if (!option.store) continue;
    option.store = [given, name = option.long_name(),
                    store = std::move(option.store)](const std::string& text) {
      given->insert(name);
      return store(text);
    };
  }
  return given;
}

Result<> apply_configuration(const GivenOptions& given, RunFlags& flags) {
  const Configuration configuration = TRY(Configuration::load());
  TRY(check_runtime(configuration,
                    given->contains("--isolation") ? Isolation::kGiven : Isolation::kConfigured));
  const Settings& settings = configuration.settings();
  const RunOptions own = default_run_options(settings);
  RunOptions& run = flags.run;
  const auto take = [&](const char* option, auto member) {
    if (!given->contains(option)) run.*member = own.*member;
  };
  take("--network", &RunOptions::network);
  take("--pull", &RunOptions::pull);
  take("--memory", &RunOptions::memory);
  take("--pids-limit", &RunOptions::pids);
  take("--shm-size", &RunOptions::shm_size);
  take("--stop-timeout", &RunOptions::stop_timeout);
  take("--log-max-size", &RunOptions::log_max_size);
  take("--log-max-files", &RunOptions::log_max_files);
  // A container that is started again and again has no end that a time could be given to.
  if (run.restart.kind == RestartPolicy::Kind::kNo) take("--timeout", &RunOptions::timeout);
  const bool has_cpus = flags.cpus || flags.cpu_max || given->contains("--cpu-quota");
  if (!has_cpus && own.cpu_quota) {
    run.cpu_quota = own.cpu_quota;
    run.cpu_period = own.cpu_period;
  }
  run.experimental = run.experimental || settings.experimental;
  annotate(given, settings, run);
  return {};
}

Result<> apply_configuration(PodOptions& options) {
  const Configuration configuration = TRY(Configuration::load());
  TRY(check_runtime(configuration,
                    options.isolation.empty() ? Isolation::kConfigured : Isolation::kGiven));
  const PodOptions own = default_pod_options(configuration.settings());
  options.default_isolation = own.default_isolation;
  options.experimental = options.experimental || own.experimental;
  options.start_timeout = own.start_timeout;
  options.grace = own.grace;
  options.microvm_max_cpus = own.microvm_max_cpus;
  options.microvm_max_memory = own.microvm_max_memory;
  return {};
}

}  // namespace trivet::cli
