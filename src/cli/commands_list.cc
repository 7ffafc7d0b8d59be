// ps, inspect, port, top.
#include <algorithm>
#include <memory>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

struct PsFlags {
  bool all = false;
  bool quiet = false;
  bool no_trunc = false;
  bool size = false;
  bool latest = false;
  bool pod = false;
  int64_t last = 0;
  std::string format;
  ContainerFilter filter;
};

Result<PodNames> pod_names(Session& session, const PsFlags& flags) {
  PodNames names;
  if (!flags.pod && !flags.filter.names_pods()) return names;
  Engine* engine = TRY(session.engine());
  for (const PodInfo& info : TRY(engine->list_pods())) names[info.id] = info.name;
  return names;
}

Result<std::vector<ContainerInfo>> matching_containers(Session& session, const PsFlags& flags,
                                                       const PodNames& pods) {
  const size_t most = flags.latest ? 1 : static_cast<size_t>(flags.last);
  const bool all = flags.all || flags.filter.wants_stopped() || most > 0;
  Engine* engine = TRY(session.engine());
  auto containers = TRY(engine->list(all, flags.size));
  std::erase_if(containers,
                [&](const ContainerInfo& info) { return !flags.filter.accepts(info, pods); });
  std::ranges::stable_sort(containers, std::ranges::greater{}, &ContainerInfo::created);
  if (most > 0 && containers.size() > most) containers.resize(most);
  return containers;
}

Result<int> ps(Session& session, const PsFlags& flags) {
  const PodNames pods = TRY(pod_names(session, flags));
  const auto containers = TRY(matching_containers(session, flags, pods));
  const IdLength length = flags.no_trunc ? IdLength::kFull : IdLength::kShort;
  if (flags.quiet) {
    for (const ContainerInfo& info : containers) {
      session.print((flags.no_trunc ? info.id : short_id(info.id)) + '\n');
    }
    return 0;
  }
  const ContainerColumns columns{.length = length, .size = flags.size, .pod = flags.pod};
  session.print(TRY(render_listing(list_containers(containers, columns, pods), flags.format)));
  return 0;
}

struct InspectFlags {
  bool size = false;
  std::string format;
  std::string type;
};

Result<Object> inspect_one(Engine& engine, const InspectFlags& flags, const std::string& name) {
  const std::string& type = flags.type;
  Result<std::string> text = fail(ErrorCode::kNotFound, "");
  if (type != "image") text = engine.inspect(name, flags.size);
  const bool absent = !text && text.error().code() == ErrorCode::kNotFound;
  if (absent && type != "container") {
    auto image = engine.inspect_image(name);
    if (!image && type.empty() && image.error().code() == ErrorCode::kNotFound) {
      return std::unexpected(
          Error(ErrorCode::kNotFound, fmt::format("there is no container or image \"{}\"", name))
              .hint("`trivet ps -a` and `trivet images` list what there is"));
    }
    text = std::move(image);
  }
  const std::string document = TRY(std::move(text));
  Object object = Object::parse(document, nullptr, false);
  if (object.is_discarded()) return fail(ErrorCode::kCorrupt, "inspect: not JSON");
  return object;
}

Result<int> inspect(Session& session, const InspectFlags& flags, const Names& names) {
  Engine* engine = TRY(session.engine());
  Object found = Object::array();
  int code = 0;
  for (const std::string& name : names) {
    if (auto object = inspect_one(*engine, flags, name); object) {
      found.push_back(std::move(*object));
    } else {
      session.report(cannot("inspect", name, std::move(object.error())));
      code = 1;
    }
  }
  Listing listing;
  listing.items = std::move(found);
  session.print(TRY(render_listing(listing, flags.format.empty() ? "json" : flags.format)));
  return code;
}

struct PortFlags {
  std::string format;
};

// "80/tcp" or "80" of the arguments.
Result<bool> port_wanted(const PublishedPort& port, const Names& arguments) {
  if (arguments.size() < 2) return true;
  const auto parts = split(arguments[1], '/');
  const int64_t number = TRY_IN(parse_int(parts[0]), "port");
  return port.container_port == number && (parts.size() < 2 || parts[1] == port.protocol);
}

Result<int> port(Session& session, const PortFlags& flags, const Names& arguments) {
  Engine* engine = TRY(session.engine());
  auto info = engine->find(arguments[0]);
  if (!info) {
    return std::unexpected(cannot("list the ports of", arguments[0], std::move(info.error())));
  }
  Object items = Object::array();
  std::string text;
  for (const PublishedPort& published : info->ports) {
    if (!TRY(port_wanted(published, arguments))) continue;
    items.push_back(port_object(published));
    const std::string host = fmt::format("{}:{}", published.host_ip, published.host_port);
    text += arguments.size() > 1
                ? host + '\n'
                : fmt::format("{}/{} -> {}\n", published.container_port, published.protocol, host);
  }
  if (arguments.size() > 1 && items.empty()) {
    return fail(ErrorCode::kNotFound, "container \"{}\" does not publish port {}", arguments[0],
                arguments[1]);
  }
  session.print(flags.format == "json" ? dump_pretty(items) : text);
  return 0;
}

Result<int> top(Session& session, const std::string& format, const Names& arguments) {
  const Names ps_options(arguments.begin() + 1, arguments.end());
  Engine* engine = TRY(session.engine());
  auto rows = engine->top(arguments[0], ps_options);
  if (!rows) {
    return std::unexpected(cannot("list the processes of", arguments[0], std::move(rows.error())));
  }
  if (rows->empty()) return 0;
  Listing listing;
  listing.headers = rows->front();
  for (size_t i = 1; i < rows->size(); ++i) {
    Names row = (*rows)[i];
    row.resize(listing.headers.size());
    Object item = Object::object();
    for (size_t column = 0; column < row.size(); ++column) {
      item[listing.headers[column]] = row[column];
    }
    listing.add(std::move(row), std::move(item));
  }
  session.print(TRY(render_listing(listing, format)));
  return 0;
}

}  // namespace

Command make_ps() {
  Command command;
  const auto flags = std::make_shared<PsFlags>();
  command.usages = {""};
  command.description = "Lists running containers, newest first.";
  command.flag("-a,--all", flags->all, "List those that don't run, too");
  command.flag("-q,--quiet", flags->quiet, "Print ids only");
  command.flag("-s,--size", flags->size, "Show how much each has written");
  command.flag("-p,--pod", flags->pod, "Show which pod each belongs to");
  command.flag("--no-trunc", flags->no_trunc, "Print whole ids and commands");
  command.flag("-l,--latest", flags->latest, "Show the newest, whatever its state");
  command.parsed(
      "-n,--last", "NUMBER",
      [flags = flags.get()](const std::string& text) -> Result<> {
        flags->last = std::max<int64_t>(0, TRY(parse_int(text)));
        return {};
      },
      "Show the newest NUMBER, whatever their state");
  command
      .parsed(
          "-f,--filter", "KEY=VALUE",
          [flags = flags.get()](const std::string& text) { return flags->filter.add(text); },
          "Show those with id, name, status, label, ancestor, exited or pod")
      .one_of({"id=", "name=", "status=running", "status=paused", "status=exited", "status=created",
               "label=", "ancestor=", "exited=", "pod="})
      .repeatable = true;
  add_format_option(command, flags->format);
  command.example("trivet ps -a --filter status=exited", "What has ended")
      .example("trivet ps --format '{{.Names}}\\t{{.Status}}'", "Two fields of each");
  command.action = [flags](Session& session, const Names&) { return ps(session, *flags); };
  return command;
}

Command make_inspect() {
  Command command;
  const auto flags = std::make_shared<InspectFlags>();
  command.takes("NAME...", 1, kAnyNumber, Completes::kContainer);
  command.description =
      "Prints a JSON array with one object for each container, or image where no container has "
      "that name.";
  command
      .value("-f,--format", "FORMAT", flags->format,
             "Print JSON, or a template such as '{{.State.Pid}}'")
      .defaults_to("json")
      .one_of({"json"});
  command
      .parsed(
          "--type", "TYPE",
          [flags = flags.get()](const std::string& text) -> Result<> {
            if (text != "container" && text != "image") {
              return fail(ErrorCode::kInvalidArgument, "\"{}\" is neither container nor image",
                          text);
            }
            flags->type = text;
            return {};
          },
          "Look for a container or an image only")
      .one_of({"container", "image"});
  command.flag("-s,--size", flags->size, "Say how much a container has written");
  command.example("trivet inspect web", "Everything known")
      .example("trivet inspect -f '{{json .State}}' web", "One field");
  command.action = [flags](Session& session, const Names& names) {
    return inspect(session, *flags, names);
  };
  return command;
}

Command make_port() {
  Command command;
  const auto flags = std::make_shared<PortFlags>();
  command.takes("CONTAINER [PORT[/PROTOCOL]]", 1, 2, Completes::kContainer);
  add_format_option(command, flags->format).one_of({"text", "json"}).defaults_to("text").help =
      "Print text or JSON";
  command.example("trivet port web 80", "Where port 80 is reached on the host");
  command.action = [flags](Session& session, const Names& arguments) {
    return port(session, *flags, arguments);
  };
  return command;
}

Command make_top() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.takes("CONTAINER [PS_OPTION...]", 1, kAnyNumber, Completes::kContainer);
  command.completes.push_back(Completes::kNothing);
  command.stops_at_first_argument = true;
  command.description =
      "Shows the processes with the pids of the host. What follows CONTAINER is given to ps(1).";
  add_format_option(command, *format).help = "Print a table or JSON";
  command.example("trivet top web -o pid,rss,args", "Chosen columns");
  command.action = [format](Session& session, const Names& arguments) {
    return top(session, *format, arguments);
  };
  return command;
}

}  // namespace trivet::cli
