// All sources in their order, and what a project may not have.
#include <algorithm>
#include <cstdlib>

#include "base/paths.h"
#include "base/runtime_name.h"
#include "config/project.h"
#include "config/read.h"

namespace trivet {

namespace {

using config::Findings;
using config::Key;

const char* environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr || *value == '\0' ? nullptr : value;
}

// In which the host's comes first, and is overridden by the user's.
std::vector<std::string> standard_files() {
  std::vector<std::string> files{"/etc/trivet/config.yml"};
  const std::string own = default_config_dir() + "/config.yml";
  if (own != files.front()) files.push_back(own);
  return files;
}

}  // namespace

class ConfigurationLoader {
 public:
  explicit ConfigurationLoader(const ConfigSources& sources) : sources_(sources) {}

  Result<Configuration> run() {
    read_own_files();
    if (sources_.project == ProjectFile::kRead)
      read_project(config::find_project_file(sources_.directory));
    for (const Key& key : config::keys()) read_variable(key);
    TRY(findings_.result());
    return std::move(configuration_);
  }

 private:
  void read_own_files() {
    const char* variable = environment("TRIVET_CONFIG");
    const std::string named = !sources_.file.empty() ? sources_.file
                              : variable != nullptr  ? variable
                                                     : "";
    if (!named.empty()) return read_file(named, config::Follow::kYes, /*may_lack=*/false);
    for (const std::string& file : standard_files()) read_file(file, config::Follow::kYes, true);
  }

  void read_file(const std::string& file, config::Follow follow, bool may_lack) {
    auto root = config::read_document(file, follow);
    if (!root && may_lack && (root.error().errnum() == ENOENT || root.error().errnum() == ENOTDIR))
      return;
    if (!root) return findings_.add(std::move(root).error().in("configuration"));
    configuration_.files_.push_back(file);
    if (*root == nullptr) return;
    config::read_settings(**root, file, ConfigFileKind::kConfig, configuration_.settings_,
                          configuration_.origins_, findings_);
  }

  // What it asks for is read beside what the user has, and compared.
  void read_project(const std::string& file) {
    if (file.empty()) return;
    auto root = config::read_document(file, config::Follow::kNo);
    if (!root) return findings_.add(std::move(root).error().in("project"));
    if (*root == nullptr || !config::is_trivets(**root)) return;
    configuration_.files_.push_back(file);
    Settings wanted = configuration_.settings_;
    config::Origins origins;
    config::read_settings(**root, file, ConfigFileKind::kProject, wanted, origins, findings_);
    for (const auto& [name, origin] : origins) {
      check_restriction(*config::find_key(name), origin, wanted);
      config::note_origin(configuration_.origins_, name, origin);
    }
    configuration_.settings_ = std::move(wanted);
  }

  void check_restriction(const Key& key, const Origin& origin, const Settings& wanted) {
    const Settings& own = configuration_.settings_;
    if (config::is_restriction(key, own, wanted)) return;
    const std::string have = config::value_text(config::value_json(key, own));
    findings_.wrong(
        {.file = origin.name, .line = origin.line, .column = origin.column, .key = key.path},
        fmt::format("a project may not weaken \"{}\", which is from {}", have,
                    origin_text(configuration_.origin(key.path))),
        fmt::format("remove it here; for one command there are options and {}", kRuntimeVariable));
  }

  void read_variable(const Key& key) {
    const char* text = key.variable == nullptr ? nullptr : environment(key.variable);
    if (text == nullptr) return;
    // A directory in the environment may be relative, as on the command line.
    if (key.form == config::Form::kPath) {
      configuration_.settings_.*std::get<std::string Settings::*>(key.member) = text;
    } else if (auto stored = config::store_value(key, text, configuration_.settings_); !stored) {
      return findings_.wrong({.file = key.variable, .key = {}}, stored.error().message(),
                             stored.error().hint_text());
    }
    config::note_origin(configuration_.origins_, key.path,
                        {.kind = Origin::Kind::kEnvironment, .name = key.variable});
  }

  const ConfigSources& sources_;
  Configuration configuration_;
  Findings findings_;
};

Result<Configuration> Configuration::load(const ConfigSources& sources) {
  return ConfigurationLoader(sources).run();
}

Origin Configuration::origin(std::string_view key) const {
  const auto found = std::ranges::find(origins_, key, &std::pair<std::string, Origin>::first);
  return found == origins_.end() ? Origin{} : found->second;
}

std::string origin_text(const Origin& origin) {
  switch (origin.kind) {
    case Origin::Kind::kFile:
      return fmt::format("{}:{}", origin.name, origin.line);
    case Origin::Kind::kEnvironment:
      return origin.name;
    case Origin::Kind::kDefault:
      break;
  }
  return "default";
}

}  // namespace trivet
