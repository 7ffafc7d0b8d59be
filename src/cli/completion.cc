#include "cli/completion.h"

#include "cli/registry.h"

namespace trivet::cli {

Result<std::string> completion_script(std::string_view shell) {
  if (shell == "bash") return bash_completion();
  if (shell == "zsh") return zsh_completion();
  if (shell == "fish") return fish_completion();
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("unknown shell \"{}\"", shell))
          .hint("bash, zsh and fish are known"));
}

const char* completion_source(Completes kind) {
  switch (kind) {
    case Completes::kContainer:
      return "containers";
    case Completes::kImage:
      return "images";
    case Completes::kVolume:
      return "volumes";
    case Completes::kPod:
      return "pods";
    default:
      return nullptr;
  }
}

std::string shell_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::vector<Command> visible_commands() {
  std::vector<Command> commands;
  for (const Entry& entry : entries()) {
    if (!std::string_view(entry.group).empty()) commands.push_back(make_command(entry));
  }
  return commands;
}

}  // namespace trivet::cli
