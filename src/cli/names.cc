#include "cli/names.h"

#include <array>
#include <cstdio>

#include "base/text.h"
#include "cli/format.h"

namespace trivet::cli {

int for_each_name(Session& session, std::string_view verb, const std::vector<std::string>& names,
                  const std::function<Result<>(const std::string&)>& action) {
  int code = 0;
  for (const std::string& name : names) {
    if (auto done = action(name); done) {
      session.print(name + '\n');
    } else {
      session.report(cannot(verb, name, std::move(done.error())));
      code = 1;
    }
  }
  return code;
}

Result<std::vector<std::string>> chosen_containers(Session& session, bool all, Which which,
                                                   const std::vector<std::string>& names) {
  if (!all && !names.empty()) return names;
  if (!names.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--all and names can't be given together");
  }
  if (!all) {
    return std::unexpected(Error(ErrorCode::kInvalidArgument, "no container is named")
                               .hint("name at least one, or use --all"));
  }
  std::vector<std::string> found;
  Engine* engine = TRY(session.engine());
  for (const ContainerInfo& info : TRY(engine->list(which == Which::kAll))) {
    found.push_back(info.name.empty() ? info.id : info.name);
  }
  return found;
}

bool confirm(const std::string& question) {
  if (!Session::stdin_is_terminal()) return true;
  const std::string text = question + " [y/N] ";
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::array<char, 64> answer{};
  if (std::fgets(answer.data(), answer.size(), stdin) == nullptr) return false;
  return answer[0] == 'y' || answer[0] == 'Y';
}

Result<int> print_pruned(Session& session, const PruneResult& result, const std::string& format) {
  if (format == "json") {
    session.print(dump_pretty(Object{{"Removed", result.removed}, {"Bytes", result.bytes}}));
    return 0;
  }
  for (const std::string& name : result.removed) session.print(name + '\n');
  session.print(fmt::format("Total reclaimed space: {}\n", format_size(result.bytes)));
  return 0;
}

}  // namespace trivet::cli
