// config show, check, schema: what is configured, and whether a file is right.
#include <algorithm>
#include <memory>

#include "base/json.h"
#include "cli/commands_setup.h"
#include "cli/format.h"
#include "cli/session.h"
#include "trivet/config.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

struct ShowFlags {
  std::string format;
  bool changed = false;
};

Object setting_object(const SettingInfo& info) {
  Object object;
  object["Key"] = info.key;
  object["Value"] = Object::parse(info.json);
  object["Origin"] = origin_text(info.origin);
  object["Project"] = info.origin.is_project;
  object["Help"] = info.help;
  return object;
}

std::string rows_of(const std::vector<SettingInfo>& settings) {
  size_t key = 0;
  size_t value = 0;
  for (const SettingInfo& info : settings) {
    key = std::max(key, info.key.size());
    value = std::max(value, std::min<size_t>(info.value.size(), 32));
  }
  std::string text;
  for (const SettingInfo& info : settings) {
    text += fmt::format("{:<{}}  {:<{}}  {}\n", info.key, key,
                        info.value.empty() ? "-" : info.value, value, origin_text(info.origin));
  }
  return text;
}

Result<int> show(Session& session, const ShowFlags& flags, const Names& keys) {
  const Configuration configuration = TRY(Configuration::load());
  std::vector<SettingInfo> settings;
  for (SettingInfo& info : configuration.describe()) {
    const bool wanted = keys.empty() || std::ranges::any_of(keys, [&](const std::string& key) {
                          return info.key == key || info.key.starts_with(key + ".");
                        });
    const bool is_default = info.origin.kind == Origin::Kind::kDefault;
    if (wanted && !(flags.changed && is_default)) settings.push_back(std::move(info));
  }
  if (settings.empty() && !keys.empty() && !flags.changed) {
    return std::unexpected(
        Error(ErrorCode::kNotFound, fmt::format("there is no key \"{}\"", keys.front()))
            .hint("`trivet config show` lists all"));
  }
  if (flags.format != "json") {
    session.print(rows_of(settings));
    return 0;
  }
  Object document{{"files", configuration.files()}, {"settings", Object::array()}};
  for (const SettingInfo& info : settings) document["settings"].push_back(setting_object(info));
  session.print(dump_pretty(document));
  return 0;
}

ConfigFileKind kind_of(const std::string& path, bool is_project) {
  const bool named_so = path == "project.yml" || path.ends_with("/project.yml");
  return is_project || named_so ? ConfigFileKind::kProject : ConfigFileKind::kConfig;
}

Result<int> check(Session& session, bool is_project, const Names& files) {
  int code = 0;
  for (const std::string& file : files) {
    if (auto checked = check_config_file(file, kind_of(file, is_project)); checked) {
      session.print(file + ": ok\n");
    } else {
      session.report(checked.error());
      code = 1;
    }
  }
  return code;
}

}  // namespace

Command make_config_show() {
  Command command;
  const auto flags = std::make_shared<ShowFlags>();
  command.takes("[KEY...]", 0, kAnyNumber, Completes::kNothing);
  command.flag("--changed", flags->changed, "Leave out what has its default");
  add_format_option(command, flags->format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text or JSON";
  command.description =
      "Shows every value that can be configured and where it comes from: a file and line, a "
      "variable of the environment, an option, or the default. KEY chooses one, or a section.";
  command.example("trivet config show", "Everything")
      .example("trivet config show --changed", "What somebody has set")
      .example("trivet config show run.memory", "One value");
  command.action = [flags](Session& session, const Names& keys) {
    return show(session, *flags, keys);
  };
  return command;
}

Command make_config_check() {
  Command command;
  const auto project = std::make_shared<bool>(false);
  command.takes("FILE...", 1, kAnyNumber, Completes::kFile);
  command.flag("--project", *project, "They are project files, whatever their name");
  command.description =
      "Reads files as trivet would and says all that is wrong with them, with line and column. A "
      "file that is called project.yml may only hold what a project may set.";
  command.example("trivet config check /etc/trivet/config.yml", "Before it takes effect");
  command.action = [project](Session& session, const Names& files) {
    return check(session, *project, files);
  };
  return command;
}

Command make_config_schema() {
  Command command;
  const auto project = std::make_shared<bool>(false);
  command.usages = {""};
  command.flag("--project", *project, "That of project.yml");
  command.description = "Prints a JSON schema, which editors and checkers of YAML understand.";
  command.example("trivet config schema > config.schema.json", "For an editor");
  command.action = [project](Session& session, const Names&) -> Result<int> {
    session.print(config_schema(*project ? ConfigFileKind::kProject : ConfigFileKind::kConfig));
    return 0;
  };
  return command;
}

}  // namespace trivet::cli
