// cp.
#include "cli/commands.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

struct Place {
  std::string container;  // empty: on the host
  std::string path;
};

// "web:/etc/hosts"; what starts with '/' or '.' is on the host, as with `docker cp`.
Place parse_place(const std::string& text) {
  const size_t colon = text.find(':');
  if (colon == std::string::npos || colon == 0 || text[0] == '/' || text[0] == '.')
    return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

Result<int> copy(Session& session, const std::vector<std::string>& arguments) {
  const Place from = parse_place(arguments[0]);
  const Place to = parse_place(arguments[1]);
  if (from.container.empty() == to.container.empty()) {
    return std::unexpected(Error(ErrorCode::kInvalidArgument,
                                 from.container.empty() ? "neither place is in a container"
                                                        : "both places are in a container")
                               .hint("write one of them as CONTAINER:PATH"));
  }
  Engine* engine = TRY(session.engine());
  const bool out = !from.container.empty();
  auto copied = out ? engine->copy_out(from.container, from.path, to.path)
                    : engine->copy_in(to.container, from.path, to.path);
  if (!copied) {
    return std::unexpected(cannot(out ? "copy from" : "copy to",
                                  out ? from.container : to.container, std::move(copied.error())));
  }
  return 0;
}

}  // namespace

Command make_cp() {
  Command command;
  command.usages = {"CONTAINER:PATH HOST_PATH", "HOST_PATH CONTAINER:PATH"};
  command.min_arguments = 2;
  command.max_arguments = 2;
  command.completes = {Completes::kFile};
  command.description =
      "Copies a file or a directory, running or not. A directory is copied into an existing "
      "directory, or becomes the new one.";
  command.example("trivet cp web:/var/log/app.log .", "Fetch a file")
      .example("trivet cp ./site web:/srv", "Put a directory in");
  command.action = copy;
  return command;
}

}  // namespace trivet::cli
