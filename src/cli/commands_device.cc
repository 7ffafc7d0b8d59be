// The commands of `trivet device`.
#include "cli/commands_device.h"

#include <memory>

#include "base/text.h"
#include "cli/format.h"
#include "cli/run_options.h"
#include "cli/session.h"
#include "trivet/gpu.h"

namespace trivet::cli {

namespace {

Listing list_devices(const CdiInventory& found) {
  Listing listing;
  listing.headers = {"DEVICE", "FILE"};
  for (const CdiDevice& device : found.devices) {
    listing.add({device.name, device.file}, {{"Name", device.name},
                                             {"File", device.file},
                                             {"Annotations", Object(device.annotations)},
                                             {"Error", ""}});
  }
  return listing;
}

// For programs the broken ones are items like the others; people get them as warnings.
void add_broken(const CdiInventory& found, Listing& listing) {
  for (const BrokenCdiFile& file : found.broken) {
    listing.items.push_back({{"Name", ""},
                             {"File", file.path},
                             {"Annotations", Object::object()},
                             {"Error", file.error.message()}});
  }
}

void report_broken(Session& session, const CdiInventory& found) {
  for (const BrokenCdiFile& file : found.broken) {
    const std::string& text = file.error.message();
    session.warn(text.find(file.path) == std::string::npos ? fmt::format("{}: {}", file.path, text)
                                                           : text);
    for (const std::string& note : file.error.notes()) session.warn(note);
  }
}

}  // namespace

Command make_device_ls() {
  struct Flags {
    bool quiet = false;
    std::string format;
    std::vector<std::string> directories;
  };
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.usages = {""};
  command.description =
      "Lists the devices that CDI files define, and says which files are broken, and why. They are "
      "in /etc/cdi and /var/run/cdi, or in the directories of $TRIVET_CDI_SPEC_DIRS or "
      "--cdi-spec-dir.";
  command.flag("-q,--quiet", flags->quiet, "Print names only");
  declare_cdi_spec_dirs(command, flags->directories);
  add_format_option(command, flags->format).help =
      "Print a table, JSON (broken files are items with an Error), or a template such as "
      "'{{.Name}}'";
  command.example("trivet device ls", "Then: trivet run --device nvidia.com/gpu=all …");
  command.action = [flags](Session& session, const std::vector<std::string>&) -> Result<int> {
    const CdiInventory found = list_cdi_devices(flags->directories);
    if (flags->quiet) {
      for (const CdiDevice& device : found.devices) session.print(device.name + '\n');
      return 0;
    }
    Listing listing = list_devices(found);
    if (flags->format == "json") {
      add_broken(found, listing);
    } else {
      report_broken(session, found);
    }
    session.print(TRY(render_listing(listing, flags->format)));
    return 0;
  };
  return command;
}

}  // namespace trivet::cli
