// The gate before what has not been proven where it matters.
#include <cstdlib>

#include "base/fs.h"
#include "base/paths.h"
#include "base/text.h"
#include "payload/prepare.h"

namespace trivet::payload {

namespace {

constexpr const char* kVariable = "TRIVET_EXPERIMENTAL";
constexpr const char* kAnnotation = "dev.trivet.experimental";

std::string own_config() {
  return default_config_dir() + "/config.yml";
}

Result<bool> parse_switch(std::string_view text, std::string_view where) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0" || text.empty()) return false;
  return fail(ErrorCode::kInvalidArgument, "{}: \"{}\" is neither true nor false", where, text);
}

// The one setting of config.yml that the static programs look at: a top-level line.
Result<bool> read_setting(const std::string& path) {
  const auto text = read_file(path);
  if (!text && text.error().errnum() == ENOENT) return false;
  if (!text) return std::unexpected(text.error());
  constexpr std::string_view kKey = "experimental:";
  for (const std::string& line : split(*text, '\n')) {
    if (!line.starts_with(kKey)) continue;
    const std::string_view value = std::string_view(line).substr(kKey.size());
    return parse_switch(trim(value.substr(0, value.find(" #"))),
                        fmt::format("\"{}\": experimental", path));
  }
  return false;
}

}  // namespace

Result<bool> is_experimental(const std::map<std::string, std::string>& annotations) {
  const char* variable = std::getenv(kVariable);  // NOLINT(concurrency-mt-unsafe)
  if (variable != nullptr && TRY(parse_switch(variable, kVariable))) return true;
  if (const auto entry = annotations.find(kAnnotation); entry != annotations.end()) {
    if (TRY(parse_switch(entry->second, kAnnotation))) return true;
  }
  if (TRY(read_setting("/etc/trivet/config.yml"))) return true;
  return read_setting(own_config());
}

Result<> require_experimental(const std::map<std::string, std::string>& annotations) {
  if (TRY(is_experimental(annotations))) return {};
  return std::unexpected(
      Error(ErrorCode::kUnsupported,
            "isolation microvm is experimental: it has not run on hosts with KVM yet")
          .hint(fmt::format("allow it with --experimental, {}=1, the annotation {}=true, or "
                            "\"experimental: true\" in {}",
                            kVariable, kAnnotation, own_config())));
}

}  // namespace trivet::payload
