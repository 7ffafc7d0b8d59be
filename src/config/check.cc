#include "config/project.h"
#include "config/read.h"

namespace trivet {

Result<> check_config_file(const std::string& path, ConfigFileKind kind) {
  const auto root = TRY_IN(config::read_document(path, config::Follow::kYes), "configuration");
  if (root == nullptr) return {};
  Settings settings;
  config::Origins origins;
  config::Findings findings;
  config::read_settings(*root, path, kind, settings, origins, findings);
  return findings.result();
}

}  // namespace trivet
