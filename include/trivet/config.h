// Configuration: what a host, a user and a project have set once, and where each value comes from.
//
// From weak to strong: built-in defaults, /etc/trivet/config.yml, ~/.config/trivet/config.yml (of
// ordinary users; $XDG_CONFIG_HOME), the project's project.yml, environment variables. Options that
// a caller gives itself (flags of the command line) are stronger still and no part of this.
// docs/configuration.md lists every key.
//
// A project.yml is what somebody else's repository brings: it may only ask for more isolation and
// lower limits than the user has. Asking for less is an error, never silently ignored.
//
// Nothing is cached and there is no global state: every function may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/engine.h"
#include "trivet/export.h"
#include "trivet/result.h"
#include "trivet/types.h"

namespace trivet {

// Every value that can be configured. Members have the built-in defaults. Sizes are bytes; 0 is no
// limit where "none" is allowed.
struct Settings {
  // "native", "microvm", "wasm", "null" (aliases are resolved); empty: nobody has chosen, which is
  // native. For containers whose image and options do not say what isolates them.
  std::string runtime;
  bool experimental = false;  // allows what is not yet ripe: microVMs

  std::string data_directory;   // empty: /var/lib/trivet or ~/.local/share/trivet
  std::string state_directory;  // empty: /run/trivet or $XDG_RUNTIME_DIR/trivet

  // Of each container, where its options say nothing.
  std::string network = "pasta";
  std::string pull = "missing";                   // "missing", "always", "never"
  int64_t memory = 0;                             // 0: no limit
  int64_t cpus = 0;                               // thousandths of a CPU; 0: no limit
  int64_t pids = 0;                               // 0: no limit
  int64_t shm_size = 64LL << 20U;                 // of /dev/shm
  std::chrono::milliseconds stop_timeout{10000};  // from the stop signal to SIGKILL
  std::chrono::milliseconds timeout{0};           // of the whole run; 0: none
  std::string fuel = "1000000000";                // WebAssembly: instructions, or "off"
  int64_t log_max_size = 10LL << 20U;             // of one file of a log
  int64_t log_max_files = 3;                      // of a log

  // Of this host.
  int64_t max_containers = 1024;
  int64_t image_size = ImageLimits{}.size;                // as ImageLimits has it
  int64_t image_layers = ImageLimits{}.layers;            // the same
  int64_t image_layer_size = ImageLimits{}.layer_size;    // the same
  int64_t image_layer_files = ImageLimits{}.layer_files;  // the same
  std::vector<RegistrySettings> registries;               // in the order of the files

  int64_t microvm_cpus = 1;                  // of a microVM without a limit of its own
  int64_t microvm_memory = 512LL << 20U;     // the same
  int64_t microvm_disk = 10LL << 30U;        // its writable disk
  std::string microvm_vmm = "qemu";          // or "libkrun"
  std::string microvm_accelerator = "auto";  // or "kvm", "tcg"
  bool microvm_templates = true;             // restored rather than booted
  int64_t microvm_max_cpus = 8;              // whatever its limits, or those of its pod, say
  int64_t microvm_max_memory = 4LL << 30U;   // the same

  // Of each pod.
  std::chrono::milliseconds pod_start_timeout{60000};  // of one container; see PodOptions
  std::chrono::milliseconds pod_grace{30000};          // of a manifest that says none
  std::chrono::milliseconds pod_exec_timeout{300000};  // of `pod exec` without a terminal; 0: none
};

// Where a value comes from.
struct Origin {
  // Built in, a line of a file, or a variable of the environment.
  enum class Kind { kDefault, kFile, kEnvironment };
  Kind kind = Kind::kDefault;  // which of these
  std::string name;            // the file, the variable
  int line = 0;                // kFile; from 1
  int column = 0;              // kFile; from 1
  bool is_project = false;     // the file is a project.yml
};
// "default", "/etc/trivet/config.yml:3", "TRIVET_RUNTIME".
[[nodiscard]] TRIVET_API std::string origin_text(const Origin& origin);

// One key, for people.
struct SettingInfo {
  std::string key;    // "run.memory"
  std::string json;   // the value as JSON, in the units of the file
  std::string value;  // the same as text
  Origin origin;      // where it comes from
  std::string help;   // what it is for, in one sentence
};

// Whether the project's file is looked for.
enum class ProjectFile { kRead, kIgnore };

// Which files are read.
struct ConfigSources {
  std::string file;  // instead of the host's and the user's; empty: TRIVET_CONFIG, then those two
  ProjectFile project = ProjectFile::kRead;  // whether project.yml is among them
  std::string directory;  // where the search for project.yml starts; empty: the working directory
};

// What all sources say together. A value; different objects are independent.
class TRIVET_API Configuration {
 public:
  // Reads all sources. kInvalidArgument with the place ("FILE:LINE:COLUMN: key: …") of the first
  // thing that is wrong; the others are notes. A file that does not exist is no error, unless it
  // was named.
  static Result<Configuration> load(const ConfigSources& sources = {});

  // The values.
  [[nodiscard]] const Settings& settings() const { return settings_; }
  // Every key in the order of the documentation.
  [[nodiscard]] std::vector<SettingInfo> describe() const;
  // Of the key of the file, such as "run.memory"; the default's where there is no such key.
  [[nodiscard]] Origin origin(std::string_view key) const;
  // Those that were read, the weakest first.
  [[nodiscard]] const std::vector<std::string>& files() const { return files_; }

 private:
  friend class ConfigurationLoader;
  Settings settings_;
  std::vector<std::string> files_;
  std::vector<std::pair<std::string, Origin>> origins_;
};

// A configuration of a host or user, or a project's, which can only tighten.
enum class ConfigFileKind { kConfig, kProject };

// All that is wrong with a file, as load() says it. A project file is judged as if the user had
// configured nothing.
TRIVET_API Result<> check_config_file(const std::string& path, ConfigFileKind kind);

// A JSON schema (draft 2020-12) of the file, made from the table that reading it uses.
[[nodiscard]] TRIVET_API std::string config_schema(ConfigFileKind kind);

// The options of a run as the settings have them, but for what an isolation has of its own.
[[nodiscard]] TRIVET_API RunOptions default_run_options(const Settings& settings);

// The same for pods, whose manifests say the rest.
[[nodiscard]] TRIVET_API PodOptions default_pod_options(const Settings& settings);

// What an Engine is opened with: directories, limits of the host and of images, registries.
[[nodiscard]] TRIVET_API EngineOptions default_engine_options(const Settings& settings);

}  // namespace trivet
