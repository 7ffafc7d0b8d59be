// The commands of `trivet pool`.
#include "cli/commands_pool.h"

#include <algorithm>
#include <memory>

#include "base/text.h"
#include "cli/exec_options.h"
#include "cli/format.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/run_configuration.h"
#include "cli/run_options.h"
#include "cli/session.h"
#include "cli/values.h"
#include "trivet/pool.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

constexpr int kOwnFailure = 125;  // Docker's code for what is not the container's

Object pool_object(const PoolInfo& info) {
  return {{"Name", info.name},           {"Image", info.image},
          {"ImageID", info.image_id},    {"Command", info.command},
          {"Isolation", info.isolation}, {"Size", info.size},
          {"Ready", info.ready},         {"Filling", info.filling},
          {"MemoryBytes", info.memory},  {"Created", format_rfc3339(info.created)},
          {"Members", info.members},     {"Error", info.error}};
}

std::string ready_text(const PoolInfo& info) {
  const std::string counts = fmt::format("{} of {}", info.ready, info.size);
  if (info.filling) return counts + ", filling";
  return info.error.empty() || info.ready >= info.size ? counts : counts + ", failed";
}

Listing list_pools(const std::vector<PoolInfo>& pools) {
  Listing listing;
  listing.headers = {"POOL", "IMAGE", "ISOLATION", "READY", "MEMORY", "CREATED"};
  for (const PoolInfo& info : pools) {
    listing.add({info.name, familiar_name(info.image), info.isolation, ready_text(info),
                 format_size(info.memory), ago(info.created)},
                pool_object(info));
  }
  return listing;
}

Result<size_t> parse_size(std::string_view text) {
  const int64_t value = TRY(parse_int(text));
  if (value >= 0 && value <= static_cast<int64_t>(kMaxPoolSize)) return static_cast<size_t>(value);
  return fail(ErrorCode::kInvalidArgument, "{} is not between 0 and {}", value, kMaxPoolSize);
}

std::function<Result<>(const std::string&)> into_size(size_t& size) {
  return [&size](const std::string& text) -> Result<> {
    size = TRY(parse_size(text));
    return {};
  };
}

struct CreateFlags {
  RunFlags run;
  size_t size = 1;
};

Result<int> create(Session& session, const CreateFlags& flags, Names arguments) {
  PoolOptions options{.name = arguments.front(), .size = flags.size};
  arguments.erase(arguments.begin());
  options.run = TRY(finish_run_options(flags.run, std::move(arguments)));
  if (!flags.run.quiet) {
    options.run.transfer.progress = lazy_progress(options.run.image);
    options.run.on_warning = [&session](const std::string& text) { session.warn(text); };
  }
  Pools pools = TRY(Pools::open(TRY(session.engine_options())));
  auto created = pools.create(options);
  if (!created) {
    return std::unexpected(cannot("create pool", options.name, std::move(created.error())));
  }
  session.print(created->name + '\n');
  return 0;
}

Result<int> run(Session& session, TakeOptions options, const std::string& name) {
  options.on_warning = [&session](const std::string& text) { session.remark(text); };
  Pools pools = TRY(Pools::open(TRY(session.engine_options())));
  auto result = pools.run(name, options);
  if (!result) return std::unexpected(cannot("run from pool", name, std::move(result.error())));
  if (options.detach) {
    session.print(result->id + '\n');
    return 0;
  }
  if (!result->detached) return result->exit_code;
  // The cursor stands where the container's program left it.
  Session::status("");
  session.remark(
      fmt::format("it goes on: `trivet attach {}` comes back to it", short_id(result->id)));
  return 0;
}

Result<int> inspect(Session& session, const std::string& format, const Names& names) {
  Pools pools = TRY(Pools::open(TRY(session.engine_options())));
  Listing listing;
  int code = 0;
  for (const std::string& name : names) {
    auto text = pools.inspect(name);
    if (text) {
      listing.items.push_back(Object::parse(*text));
      continue;
    }
    session.report(cannot("inspect pool", name, std::move(text.error())));
    code = 1;
  }
  session.print(TRY(render_listing(listing, format.empty() ? "json" : format)));
  return code;
}

}  // namespace

Command make_pool_create() {
  Command command;
  const auto flags = std::make_shared<CreateFlags>();
  command.usages = {"NAME IMAGE [COMMAND [ARG...]]", "--rootfs DIR NAME [--] COMMAND [ARG...]"};
  command.min_arguments = 1;
  command.max_arguments = kAnyNumber;
  command.completes = {Completes::kNothing, Completes::kImage, Completes::kCommand};
  command.stops_at_first_argument = true;
  command.description =
      "Prepares containers that wait, so that `trivet pool run` starts one at once: everything is "
      "done but the execution of COMMAND. The options are those of `trivet run`, but for what "
      "belongs to one container or its run (--name, -d, --rm, a port of the host), which is chosen "
      "when one is taken. The image is that of now, whatever its name means later. Options end at "
      "NAME.";
  command.section("Pool");
  command.parsed("--size", "N", into_size(flags->size), "How many containers wait")
      .defaults_to("1");
  declare_run_options(command, flags->run);
  const GivenOptions given = watch_given(command);
  command
      .example("trivet pool create --size 4 -i py python:3.12 python3 -",
               "Four that wait for a program on stdin")
      .example("trivet pool create --size 2 --isolation microvm --experimental vm alpine sh",
               "Two microVMs, booted");
  command.action = [flags, given](Session& session, const Names& arguments) -> Result<int> {
    TRY(apply_configuration(given, flags->run));
    return create(session, *flags, arguments);
  };
  return command;
}

Command make_pool_run() {
  Command command;
  const auto flags = std::make_shared<TakeOptions>();
  command.takes("POOL", 1, 1, Completes::kNothing);
  command.usage_code = kOwnFailure;
  command.failure_code = kOwnFailure;
  command.description =
      "Takes a container that waits and lets it run, as `trivet run` would; exit codes are the "
      "same. Its command and environment are the pool's: what is to be done otherwise comes by "
      "stdin (`--interactive` of the pool), by a volume, or by `trivet exec`. Another one is "
      "prepared in the background. When none is ready, one is made now.";
  command.flag("-d,--detach", flags->detach, "Run in the background and print the id");
  command.flag("--rm", flags->remove, "Remove the container when it ends");
  command.value("--name", "NAME", flags->name, "Name the container; it has one otherwise");
  command.parsed(
      "--timeout", "TIME",
      [flags](const std::string& text) -> Result<> {
        flags->timeout = TRY(parse_duration(text));
        return {};
      },
      "Stop the container after TIME (30, 1m30s) with exit code 124");
  command.flag("--wait", flags->wait, "Wait for one, when none is ready");
  command.value("--detach-keys", "KEYS", flags->detach_keys, "Keys that leave it running")
      .defaults_to("ctrl-p,ctrl-q");
  command.example("trivet pool run --rm py", "Run one, and leave nothing of it")
      .example("trivet pool run --rm py < task.py", "Say by stdin what is to be done")
      .example("trivet exec $(trivet pool run -d vm) uname -r", "A command in one that was taken");
  command.action = [flags](Session& session, const Names& arguments) {
    return run(session, *flags, arguments.front());
  };
  return command;
}

Command make_pool_ls() {
  struct Flags {
    bool quiet = false;
    std::string format;
  };
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.usages = {""};
  command.description =
      "Lists the pools: how many of their containers wait, and the memory of those.";
  command.flag("-q,--quiet", flags->quiet, "Print names only");
  add_format_option(command, flags->format).help =
      "Print a table, JSON, or a template such as '{{.Ready}}'";
  command.example("trivet pool ls", "All pools");
  command.action = [flags](Session& session, const Names&) -> Result<int> {
    Pools pools = TRY(Pools::open(TRY(session.engine_options())));
    const auto list = TRY(pools.list());
    if (!flags->quiet) {
      session.print(TRY(render_listing(list_pools(list), flags->format)));
      return 0;
    }
    for (const PoolInfo& pool : list) session.print(pool.name + '\n');
    return 0;
  };
  return command;
}

Command make_pool_inspect() {
  Command command;
  const auto format = std::make_shared<std::string>();
  command.takes("POOL...", 1, kAnyNumber, Completes::kNothing);
  command.value("-f,--format", "FORMAT", *format, "Print JSON, or a template such as '{{.Ready}}'")
      .defaults_to("json")
      .one_of({"json"});
  command.example("trivet pool inspect -f '{{.Ready}}' py", "How many wait");
  command.action = [format](Session& session, const Names& names) {
    return inspect(session, *format, names);
  };
  return command;
}

Command make_pool_resize() {
  Command command;
  command.takes("POOL N", 2, 2, Completes::kNothing);
  command.description = "Changes how many containers wait, and prepares or removes them.";
  command.example("trivet pool resize py 8", "Eight wait from now on");
  command.action = [](Session& session, const Names& arguments) -> Result<int> {
    const size_t size = TRY(parse_size(arguments.back()));
    Pools pools = TRY(Pools::open(TRY(session.engine_options())));
    auto resized = pools.resize(arguments.front(), size);
    if (!resized) {
      return std::unexpected(cannot("resize pool", arguments.front(), std::move(resized.error())));
    }
    session.print(resized->name + '\n');
    return 0;
  };
  return command;
}

Command make_pool_rm() {
  Command command;
  const auto force = std::make_shared<bool>(false);
  command.takes("POOL...", 1, kAnyNumber, Completes::kNothing);
  command.description = "Removes pools. Containers that were taken from them stay.";
  command.flag("-f,--force", *force, "With the containers that wait");
  command.example("trivet pool rm -f py", "Remove a pool and what waits in it");
  command.action = [force](Session& session, const Names& names) -> Result<int> {
    Pools pools = TRY(Pools::open(TRY(session.engine_options())));
    return for_each_name(session, "remove pool", names,
                         [&](const std::string& name) { return pools.remove(name, *force); });
  };
  return command;
}

}  // namespace trivet::cli
