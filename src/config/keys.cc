#include "config/keys.h"

#include <algorithm>

#include "base/runtime_name.h"
#include "base/text.h"

namespace trivet::config {

namespace {

constexpr int64_t kKib = 1LL << 10U;
constexpr int64_t kMib = 1LL << 20U;
constexpr int64_t kGib = 1LL << 30U;
constexpr int64_t kTib = 1LL << 40U;
constexpr int64_t kSecond = 1000;
constexpr int64_t kDay = 86400 * kSecond;

// A table.
std::vector<Key> make_keys() {  // NOLINT(readability-function-size)
  using S = Settings;
  const auto pull = std::vector<std::string>{"missing", "always", "never"};
  const auto restrict = ProjectMay::kRestrict;
  const auto no_limit = NoneIs::kNoLimit;
  return {
      {.path = "runtime",
       .form = Form::kRuntime,
       .member = &S::runtime,
       .help = "What isolates containers whose image and options don't say",
       .project = restrict,
       .variable = kRuntimeVariable},
      {.path = "experimental",
       .form = Form::kFlag,
       .member = &S::experimental,
       .help = "Allow microVMs, which have not run on hosts with KVM yet",
       .variable = "TRIVET_EXPERIMENTAL"},
      {.path = "directories.data",
       .form = Form::kPath,
       .member = &S::data_directory,
       .help = "Where images and containers are kept",
       .variable = "TRIVET_DATA_DIR"},
      {.path = "directories.state",
       .form = Form::kPath,
       .member = &S::state_directory,
       .help = "Where that is kept which lasts until reboot",
       .variable = "TRIVET_STATE_DIR"},

      {.path = "run.network",
       .form = Form::kChoice,
       .member = &S::network,
       .help = "Network of a container without --network",
       .choices = {"host", "pasta", "none"},
       .project = restrict},
      {.path = "run.pull",
       .form = Form::kChoice,
       .member = &S::pull,
       .help = "When to pull an image",
       .choices = pull},
      {.path = "run.memory",
       .form = Form::kSize,
       .member = &S::memory,
       .help = "Memory limit of a container without --memory",
       .least = 6 * kMib,
       .most = 64 * kTib,
       .none = no_limit,
       .project = restrict},
      {.path = "run.cpus",
       .form = Form::kCpus,
       .member = &S::cpus,
       .help = "CPU limit of a container without --cpus",
       .least = 10,
       .most = 8192 * 1000,
       .none = no_limit,
       .project = restrict},
      {.path = "run.pids",
       .form = Form::kCount,
       .member = &S::pids,
       .help = "Limit of processes and threads of a container without --pids",
       .least = 1,
       .most = 1LL << 22U,
       .none = no_limit,
       .project = restrict},
      {.path = "run.shm-size",
       .form = Form::kSize,
       .member = &S::shm_size,
       .help = "Size of /dev/shm",
       .least = 4 * kKib,
       .most = kTib,
       .project = restrict},
      {.path = "run.stop-timeout",
       .form = Form::kTime,
       .member = &S::stop_timeout,
       .help = "Time between asking a program to end and killing it",
       .least = 0,
       .most = kDay},
      {.path = "run.timeout",
       .form = Form::kTime,
       .member = &S::timeout,
       .help = "Stop every container after so long",
       .least = kSecond,
       .most = 365 * kDay,
       .none = no_limit,
       .project = restrict},
      {.path = "run.fuel",
       .form = Form::kFuel,
       .member = &S::fuel,
       .help = "WebAssembly: instructions that a module may execute, or off",
       .least = 1,
       .most = INT64_MAX,
       .project = restrict},
      {.path = "run.log-max-size",
       .form = Form::kSize,
       .member = &S::log_max_size,
       .help = "Start a new log file at this size",
       .least = 4 * kKib,
       .most = kTib},
      {.path = "run.log-max-files",
       .form = Form::kCount,
       .member = &S::log_max_files,
       .help = "Keep so many log files of a container",
       .least = 1,
       .most = 1000},

      {.path = "limits.containers",
       .form = Form::kCount,
       .member = &S::max_containers,
       .help = "Containers that may exist at a time",
       .least = 1,
       .most = 1000000},
      {.path = "limits.image-size",
       .form = Form::kSize,
       .member = &S::image_size,
       .help = "Largest image, all its layers unpacked",
       .least = kMib,
       .most = 64 * kTib},
      {.path = "limits.image-layers",
       .form = Form::kCount,
       .member = &S::image_layers,
       .help = "Layers that an image may have",
       .least = 1,
       .most = 500},
      {.path = "limits.image-layer-size",
       .form = Form::kSize,
       .member = &S::image_layer_size,
       .help = "Largest layer, as it is transferred",
       .least = kMib,
       .most = 64 * kTib},
      {.path = "limits.image-layer-files",
       .form = Form::kCount,
       .member = &S::image_layer_files,
       .help = "Files that a layer may have",
       .least = 1,
       .most = 100000000},

      {.path = "microvm.cpus",
       .form = Form::kCount,
       .member = &S::microvm_cpus,
       .help = "CPUs of a microVM without a limit of its own",
       .least = 1,
       .most = 8},
      {.path = "microvm.memory",
       .form = Form::kSize,
       .member = &S::microvm_memory,
       .help = "Memory of a microVM without a limit of its own",
       .least = 128 * kMib,
       .most = 4 * kGib},
      {.path = "microvm.disk",
       .form = Form::kSize,
       .member = &S::microvm_disk,
       .help = "Size of a microVM's writable disk",
       .least = 32 * kMib,
       .most = 16 * kTib},
      {.path = "microvm.vmm",
       .form = Form::kChoice,
       .member = &S::microvm_vmm,
       .help = "The machine's program",
       .choices = {"qemu", "libkrun"}},
      {.path = "microvm.accelerator",
       .form = Form::kChoice,
       .member = &S::microvm_accelerator,
       .help = "Run on the processor (kvm) or emulated in software (tcg)",
       .choices = {"auto", "kvm", "tcg"}},
      {.path = "microvm.templates",
       .form = Form::kFlag,
       .member = &S::microvm_templates,
       .help = "Restore a machine that has booted, instead of booting"},
      {.path = "microvm.max-cpus",
       .form = Form::kCount,
       .member = &S::microvm_max_cpus,
       .help = "CPUs that a microVM may have, whatever its limits say",
       .least = 1,
       .most = 64,
       .project = restrict},
      {.path = "microvm.max-memory",
       .form = Form::kSize,
       .member = &S::microvm_max_memory,
       .help = "Memory that a microVM may have, whatever its limits say",
       .least = 128 * kMib,
       .most = kTib,
       .project = restrict},

      {.path = "pods.start-timeout",
       .form = Form::kTime,
       .member = &S::pod_start_timeout,
       .help = "Time of a container of a pod to be ready, besides what its probes take",
       .least = kSecond,
       .most = kDay},
      {.path = "pods.grace",
       .form = Form::kTime,
       .member = &S::pod_grace,
       .help = "Grace period of a pod without terminationGracePeriodSeconds",
       .least = 0,
       .most = kDay},
      {.path = "pods.exec-timeout",
       .form = Form::kTime,
       .member = &S::pod_exec_timeout,
       .help = "Time of pod exec without a terminal and without --timeout",
       .least = kSecond,
       .most = 365 * kDay,
       .none = no_limit},
  };
}

// The weakest first.
const std::vector<std::string>& runtimes_by_strength() {
  static const std::vector<std::string> kNames{"native", "wasm", "microvm", "null"};
  return kNames;
}

size_t rank(const std::vector<std::string>& ranking, const std::string& name) {
  return static_cast<size_t>(std::ranges::find(ranking, name) - ranking.begin());
}

bool not_higher(int64_t own, int64_t wanted) {
  return own == 0 || (wanted != 0 && wanted <= own);
}

int64_t fuel_of(const std::string& text) {
  return text == "off" ? 0 : parse_int(text).value_or(0);
}

}  // namespace

std::span<const Key> keys() {
  static const std::vector<Key> kAll = make_keys();
  return kAll;
}

const Key* find_key(std::string_view path) {
  const auto found = std::ranges::find(keys(), path, [](const Key& key) { return key.path; });
  return found == keys().end() ? nullptr : &*found;
}

bool is_restriction(const Key& key, const Settings& own, const Settings& wanted) {
  if (const auto* number = std::get_if<int64_t Settings::*>(&key.member)) {
    return not_higher(own.**number, wanted.**number);
  }
  if (const auto* time = std::get_if<std::chrono::milliseconds Settings::*>(&key.member)) {
    return not_higher((own.**time).count(), (wanted.**time).count());
  }
  const auto* text = std::get_if<std::string Settings::*>(&key.member);
  if (text == nullptr) return false;
  if (key.form == Form::kFuel) return not_higher(fuel_of(own.**text), fuel_of(wanted.**text));
  const auto& ranking = key.form == Form::kRuntime ? runtimes_by_strength() : key.choices;
  const size_t mine = (own.**text).empty() ? 0 : rank(ranking, own.**text);
  return rank(ranking, wanted.**text) >= mine;
}

}  // namespace trivet::config
