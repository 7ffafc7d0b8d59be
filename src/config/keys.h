// The table of everything that can be configured. Reading, `config show`, the JSON schemas and the
// rules for project files are all made from it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "trivet/config.h"

namespace trivet::config {

using Member = std::variant<bool Settings::*, int64_t Settings::*, std::string Settings::*,
                            std::chrono::milliseconds Settings::*>;

// How a value is written.
enum class Form { kFlag, kCount, kSize, kCpus, kTime, kChoice, kRuntime, kPath, kFuel };

// What a project.yml may make of it.
enum class ProjectMay {
  kNothing,
  kRestrict,  // choices: a later one of the list; numbers: not above the user's own
};

enum class NoneIs { kRefused, kNoLimit };

struct Key {
  const char* path;  // "run.memory"
  Form form;
  Member member;
  const char* help;
  int64_t least = 0;  // in the unit of the member: bytes, thousandths of a CPU, milliseconds
  int64_t most = 0;
  NoneIs none = NoneIs::kRefused;
  std::vector<std::string> choices;  // kChoice: from weak to strong where a project may restrict
  ProjectMay project = ProjectMay::kNothing;
  const char* variable = nullptr;  // of the environment
};

[[nodiscard]] std::span<const Key> keys();
[[nodiscard]] const Key* find_key(std::string_view path);

// `text` as a file or a variable has it. kInvalidArgument, without the name of the key.
Result<> store_value(const Key& key, const std::string& text, Settings& settings);

// An absolute one, also for "~/…". kInvalidArgument.
Result<std::string> parse_path(const std::string& text);

// As it would be written in a file.
[[nodiscard]] nlohmann::ordered_json value_json(const Key& key, const Settings& settings);
// The same for a line of text.
[[nodiscard]] std::string value_text(const nlohmann::ordered_json& value);

// Whether `wanted` isolates as much as `own` does and takes no more of the host.
[[nodiscard]] bool is_restriction(const Key& key, const Settings& own, const Settings& wanted);

}  // namespace trivet::config
