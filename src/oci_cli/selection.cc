#include "oci_cli/selection.h"

#include <array>
#include <memory>
#include <regex.h>

#include "container/container.h"

namespace trivet::oci_cli {

namespace {

class Regex {
 public:
  static Result<Regex> compile(const std::string& text) {
    auto compiled = std::make_unique<regex_t>();
    const int code = regcomp(compiled.get(), text.c_str(), REG_EXTENDED | REG_NOSUB);
    if (code == 0) return Regex(compiled.release());
    std::array<char, 256> words{};
    (void)regerror(code, compiled.get(), words.data(), words.size());
    return fail(ErrorCode::kInvalidArgument, "--regex: \"{}\": {}", text, words.data());
  }

  [[nodiscard]] bool finds(const std::string& text) const {
    return regexec(compiled_.get(), text.c_str(), 0, nullptr, 0) == 0;
  }

 private:
  struct Free {
    void operator()(regex_t* compiled) const {
      regfree(compiled);
      delete compiled;
    }
  };
  explicit Regex(regex_t* compiled) : compiled_(compiled) {}

  std::unique_ptr<regex_t, Free> compiled_;
};

}  // namespace

Result<> act_on_selected(const Globals& globals, const Arguments& arguments,
                         const std::function<Result<>(const std::string& id)>& act) {
  const std::string& selector = arguments.operands()[0];
  if (!arguments.has("regex")) return act(selector);
  const Regex regex = TRY(Regex::compile(selector));
  std::vector<std::string> ids = TRY(container::Container::list(globals.root));
  std::erase_if(ids, [&](const std::string& id) { return !regex.finds(id); });
  size_t failures = 0;
  for (const std::string& id : ids) {
    const auto done = act(id);
    if (done || done.error().code() == ErrorCode::kNotFound) continue;
    report_warning(globals.log, done.error().message());
    ++failures;
  }
  if (failures == 0) return {};
  return fail(ErrorCode::kSystem, "{} of {} containers that match \"{}\" failed", failures,
              ids.size(), selector);
}

}  // namespace trivet::oci_cli
