// images, rmi, tag, and the commands of `trivet image`.
#include <algorithm>
#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/names.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

struct ImagesFlags {
  bool quiet = false;
  bool no_trunc = false;
  bool digests = false;
  bool all = false;
  std::string format;
  std::vector<std::pair<std::string, std::string>> filters;
};

Result<> add_image_filter(ImagesFlags& flags, const std::string& text) {
  const size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  if (equals == std::string::npos || (key != "dangling" && key != "label" && key != "reference")) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown filter \"{}\"", text))
            .hint("filters are dangling=true, label=KEY[=VALUE] and reference=NAME"));
  }
  flags.filters.emplace_back(key, text.substr(equals + 1));
  return {};
}

bool name_matches(const std::string& name, const std::string& wanted) {
  const NameParts parts = split_image_name(name);
  const auto same = [&](const std::string& text) {
    return text == wanted || text.ends_with("/" + wanted);
  };
  return same(name) || same(parts.repository);
}

bool image_accepted(const ImageInfo& info, const std::string& key, const std::string& value) {
  if (key == "dangling") return info.names.empty() == (value == "true");
  if (key == "reference") {
    return std::ranges::any_of(info.names,
                               [&](const auto& name) { return name_matches(name, value); });
  }
  const size_t equals = value.find('=');
  const auto found = info.labels.find(value.substr(0, equals));
  if (found == info.labels.end()) return false;
  return equals == std::string::npos || found->second == value.substr(equals + 1);
}

Result<int> images(Session& session, const ImagesFlags& flags, const Names& arguments) {
  Engine* engine = TRY(session.engine());
  auto found = TRY(engine->images());
  auto filters = flags.filters;
  if (!arguments.empty()) filters.emplace_back("reference", arguments.front());
  for (const auto& [key, value] : filters) {
    std::erase_if(found, [&](const ImageInfo& info) { return !image_accepted(info, key, value); });
  }
  std::ranges::stable_sort(found, std::ranges::greater{}, &ImageInfo::created);
  if (flags.quiet) {
    for (const ImageInfo& info : found) {
      session.print((flags.no_trunc ? info.id : short_id(info.id)) + '\n');
    }
    return 0;
  }
  const IdLength length = flags.no_trunc ? IdLength::kFull : IdLength::kShort;
  session.print(TRY(render_listing(list_images(found, length, flags.digests), flags.format)));
  return 0;
}

Result<int> inspect_images(Session& session, const std::string& format, const Names& names) {
  Engine* engine = TRY(session.engine());
  Listing listing;
  int code = 0;
  for (const std::string& name : names) {
    auto document = engine->inspect_image(name);
    if (!document) {
      session.report(cannot("inspect", name, std::move(document.error())));
      code = 1;
      continue;
    }
    Object object = Object::parse(*document, nullptr, false);
    if (object.is_discarded()) return fail(ErrorCode::kCorrupt, "inspect: not JSON");
    listing.items.push_back(std::move(object));
  }
  session.print(TRY(render_listing(listing, format.empty() ? "json" : format)));
  return code;
}

struct RemoveFlags {
  bool force = false;
};

Result<int> remove_images(Session& session, const RemoveFlags& flags, const Names& names) {
  Engine* engine = TRY(session.engine());
  int code = 0;
  for (const std::string& name : names) {
    auto removed = engine->remove_image(name, flags.force);
    if (removed) {
      for (const std::string& line : *removed) session.print(line + '\n');
    } else if (flags.force && removed.error().code() == ErrorCode::kNotFound) {
      session.remark(fmt::format("there is no image \"{}\"", name));
    } else {
      session.report(cannot("remove", name, std::move(removed.error())));
      code = 1;
    }
  }
  return code;
}

struct SaveFlags {
  std::string output;
  std::string format = "oci-archive";
};

Result<int> save(Session& session, const SaveFlags& flags, const std::string& name) {
  if (flags.output.empty()) {
    return std::unexpected(Error(ErrorCode::kInvalidArgument, "there is no file to write to")
                               .hint("name it with -o FILE"));
  }
  Engine* engine = TRY(session.engine());
  auto saved = engine->save_image(name, flags.output, flags.format);
  if (!saved) return std::unexpected(cannot("save", name, std::move(saved.error())));
  return 0;
}

}  // namespace

Command make_images() {
  Command command;
  const auto flags = std::make_shared<ImagesFlags>();
  command.takes("[NAME]", 0, 1, Completes::kImage);
  command.description = "Lists the images on this host, newest first, or those of one name.";
  command.flag("-q,--quiet", flags->quiet, "Print ids only");
  command.flag("--no-trunc", flags->no_trunc, "Print whole ids");
  command.flag("--digests", flags->digests, "Show the digest of each manifest");
  command.flag("-a,--all", flags->all, "List all: they always are").hide();
  command
      .parsed(
          "-f,--filter", "KEY=VALUE",
          [flags = flags.get()](const std::string& text) { return add_image_filter(*flags, text); },
          "Show those with dangling=true, label=… or reference=…")
      .one_of({"dangling=true", "label=", "reference="})
      .repeatable = true;
  add_format_option(command, flags->format);
  command.example("trivet images --format json", "For programs");
  command.action = [flags](Session& session, const Names& arguments) {
    return images(session, *flags, arguments);
  };
  return command;
}

Command make_image_inspect() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.takes("IMAGE...", 1, kAnyNumber, Completes::kImage);
  command.value("-f,--format", "FORMAT", *format, "Print JSON, or a template such as '{{.Id}}'")
      .defaults_to("json")
      .one_of({"json"});
  command.example("trivet image inspect debian:12", "Its configuration, layers and labels");
  command.action = [format](Session& session, const Names& names) {
    return inspect_images(session, *format, names);
  };
  return command;
}

Command make_rmi() {
  Command command;
  const auto flags = std::make_shared<RemoveFlags>();
  command.takes("IMAGE...", 1, kAnyNumber, Completes::kImage);
  command.description =
      "Takes the name off the image and removes what no other name and no container needs.";
  command.flag("-f,--force", flags->force, "Remove all its names; a missing image is no failure");
  command.example("trivet rmi debian:12", "Remove an image");
  command.action = [flags](Session& session, const Names& names) {
    return remove_images(session, *flags, names);
  };
  return command;
}

Command make_tag() {
  Command command;
  command.takes("IMAGE NEW_NAME", 2, 2, Completes::kImage);
  command.example("trivet tag app localhost:5000/app:1.0", "Name it for a registry");
  command.action = [](Session& session, const Names& names) -> Result<int> {
    Engine* engine = TRY(session.engine());
    auto tagged = engine->tag(names[0], names[1]);
    if (!tagged) return std::unexpected(cannot("tag", names[0], std::move(tagged.error())));
    return 0;
  };
  return command;
}

Command make_image_prune() {
  struct Flags {
    bool all = false;
    bool force = false;
    std::string format;
  };
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.description =
      "Removes images without a name, and content that belongs to none. Asks first on a terminal.";
  command.flag("-a,--all", flags->all, "Also those with a name that no container uses");
  command.flag("-f,--force", flags->force, "Don't ask");
  add_format_option(command, flags->format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text or JSON";
  command.example("trivet image prune -a -f", "Remove all that is not in use");
  command.action = [flags](Session& session, const Names&) -> Result<int> {
    const char* question = flags->all ? "Remove all images that no container uses?"
                                      : "Remove all images without a name?";
    if (!flags->force && !confirm(question)) return 0;
    Engine* engine = TRY(session.engine());
    return print_pruned(session, TRY(engine->prune_images(flags->all)), flags->format);
  };
  return command;
}

Command make_image_import() {
  Command command;
  command.takes("PATH [NAME]", 1, 2, Completes::kFile);
  command.completes.push_back(Completes::kImage);
  command.description =
      "PATH is an OCI layout (a directory or a tar), an archive of `docker save` or `podman save`, "
      "or a root file system (a directory or a tar). Prints the ids.";
  command.example("trivet image import app.tar app:1.0", "From an archive");
  command.action = [](Session& session, const Names& arguments) -> Result<int> {
    const std::string name = arguments.size() > 1 ? arguments[1] : "";
    Engine* engine = TRY(session.engine());
    auto imported = engine->import_image(arguments[0], name);
    if (!imported) {
      return std::unexpected(cannot("import", arguments[0], std::move(imported.error())));
    }
    for (const ImageInfo& info : *imported) session.print(info.id + '\n');
    return 0;
  };
  return command;
}

Command make_image_save() {
  Command command;
  const auto flags = std::make_shared<SaveFlags>();
  command.takes("IMAGE", 1, 1, Completes::kImage);
  command.value("-o,--output", "FILE", flags->output, "Write to FILE")
      .completed_by(Completes::kFile);
  command.value("--format", "FORMAT", flags->format, "oci-archive or docker-archive")
      .defaults_to("oci-archive")
      .one_of({"oci-archive", "docker-archive"});
  command.example("trivet image save -o app.tar app:1.0", "For another machine");
  command.action = [flags](Session& session, const Names& names) {
    return save(session, *flags, names.front());
  };
  return command;
}

Command make_image_bundle() {
  Command command;
  command.takes("IMAGE DIR", 2, 2, Completes::kImage);
  command.completes.push_back(Completes::kDirectory);
  command.description =
      "Makes DIR a bundle for any OCI runtime: rootfs/ with the image's files and a config.json.";
  command.example("trivet image bundle debian:12 ./bundle",
                  "Then: trivet-oci run -b ./bundle demo");
  command.action = [](Session& session, const Names& arguments) -> Result<int> {
    Engine* engine = TRY(session.engine());
    auto written = engine->write_bundle(arguments[0], arguments[1]);
    if (!written)
      return std::unexpected(cannot("bundle", arguments[0], std::move(written.error())));
    return 0;
  };
  return command;
}

}  // namespace trivet::cli
