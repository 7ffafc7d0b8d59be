// The commands of `trivet volume`.
#include <algorithm>
#include <memory>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/names.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

Result<int> inspect_volumes(Session& session, const std::string& format, const Names& names) {
  Engine* engine = TRY(session.engine());
  const auto volumes = TRY(engine->volumes());
  Listing listing;
  int code = 0;
  for (const std::string& name : names) {
    const auto found = std::ranges::find(volumes, name, &VolumeInfo::name);
    if (found != volumes.end()) {
      listing.items.push_back(volume_object(*found));
      continue;
    }
    session.report(Error(ErrorCode::kNotFound, fmt::format("there is no volume \"{}\"", name))
                       .hint("`trivet volume ls` lists them"));
    code = 1;
  }
  session.print(TRY(render_listing(listing, format.empty() ? "json" : format)));
  return code;
}

}  // namespace

Command make_volume_create() {
  Command command;
  command.takes("[NAME]", 0, 1, Completes::kNothing);
  command.description = "Creates a volume, with a made-up name if none is given, and prints it.";
  command.example("trivet volume create data", "Then: trivet run -v data:/var/lib/app …");
  command.action = [](Session& session, const Names& arguments) -> Result<int> {
    const std::string name = arguments.empty() ? "" : arguments.front();
    Engine* engine = TRY(session.engine());
    auto created = engine->create_volume(name);
    if (!created) return std::unexpected(cannot("create volume", name, std::move(created.error())));
    session.print(*created + '\n');
    return 0;
  };
  return command;
}

Command make_volume_ls() {
  struct Flags {
    bool quiet = false;
    std::string format;
  };
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.usages = {""};
  command.description = "Lists the volumes, newest first, and the containers that use them.";
  command.flag("-q,--quiet", flags->quiet, "Print names only");
  add_format_option(command, flags->format).help =
      "Print a table, JSON, or a template such as '{{.Name}}'";
  command.example("trivet volume ls", "All volumes");
  command.action = [flags](Session& session, const Names&) -> Result<int> {
    Engine* engine = TRY(session.engine());
    auto volumes = TRY(engine->volumes());
    std::ranges::stable_sort(volumes, std::ranges::greater{}, &VolumeInfo::created);
    if (!flags->quiet) {
      session.print(TRY(render_listing(list_volumes(volumes), flags->format)));
      return 0;
    }
    for (const VolumeInfo& volume : volumes) session.print(volume.name + '\n');
    return 0;
  };
  return command;
}

Command make_volume_inspect() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.takes("VOLUME...", 1, kAnyNumber, Completes::kVolume);
  command
      .value("-f,--format", "FORMAT", *format,
             "Print JSON, or a template such as '{{.Mountpoint}}'")
      .defaults_to("json")
      .one_of({"json"});
  command.example("trivet volume inspect -f '{{.Mountpoint}}' data", "Where its files are");
  command.action = [format](Session& session, const Names& names) {
    return inspect_volumes(session, *format, names);
  };
  return command;
}

Command make_volume_rm() {
  Command command;
  const auto force = std::make_shared<bool>(false);
  command.takes("VOLUME...", 1, kAnyNumber, Completes::kVolume);
  command.flag("-f,--force", *force, "A missing volume is no failure");
  command.example("trivet volume rm data", "Remove a volume that no container uses");
  command.action = [force](Session& session, const Names& names) -> Result<int> {
    Engine* engine = TRY(session.engine());
    return for_each_name(session, "remove volume", names, [&](const std::string& name) {
      return engine->remove_volume(name, *force);
    });
  };
  return command;
}

Command make_volume_prune() {
  struct Flags {
    bool force = false;
    std::string format;
  };
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.description = "Removes the volumes that no container uses. Asks first on a terminal.";
  command.flag("-f,--force", flags->force, "Don't ask");
  add_format_option(command, flags->format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text or JSON";
  command.example("trivet volume prune -f", "Clean up without a question");
  command.action = [flags](Session& session, const Names&) -> Result<int> {
    if (!flags->force && !confirm("Remove all volumes that no container uses?")) return 0;
    Engine* engine = TRY(session.engine());
    return print_pruned(session, TRY(engine->prune_volumes()), flags->format);
  };
  return command;
}

}  // namespace trivet::cli
