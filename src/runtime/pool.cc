#include "runtime/pool.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "base/fs.h"
#include "base/json.h"
#include "monitor/attach_client.h"
#include "monitor/control.h"
#include "monitor/pool_member.h"
#include "net/network.h"
#include "runtime/facts.h"
#include "runtime/lifecycle.h"
#include "runtime/names.h"
#include "runtime/observe.h"
#include "runtime/options_json.h"
#include "runtime/pool_fill.h"
#include "runtime/pool_record.h"
#include "runtime/pool_start.h"

namespace trivet::runtime {

namespace {

std::unexpected<Error> not_of_a_pool(const std::string& option, const char* hint) {
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument,
            fmt::format("{}: it can't be the same for all containers of a pool", option))
          .hint(hint));
}

Result<> check_options(const RunOptions& options) {
  constexpr const char* kAtTaking = "choose it when one is taken: trivet pool run";
  if (!options.name.empty()) return not_of_a_pool("--name", kAtTaking);
  if (options.detach) return not_of_a_pool("--detach", kAtTaking);
  if (options.remove) return not_of_a_pool("--rm", kAtTaking);
  if (options.rootfs_write) {
    return not_of_a_pool("--rootfs-write", "without it each has its own changes");
  }
  for (const std::string& text : options.publish) {
    for (const net::PortMapping& port : TRY(net::parse_publish(text))) {
      if (port.host_port == 0) continue;
      return not_of_a_pool(fmt::format("-p {}", text),
                           "publish the container's port alone: each gets a free port of the host");
    }
  }
  for (const std::string& joined : {options.network, options.pid_mode}) {
    if (!joined.starts_with("container:")) continue;
    return not_of_a_pool(joined, "a container that is to be joined has to run when it is made");
  }
  return {};
}

// "./data" of a mount, and "seccomp=profile.json".
void make_absolute(RunOptions& options, const std::string& here) {
  const auto absolute = [&](std::string& path) {
    if (!path.empty() && path.front() != '/') path = fmt::format("{}/{}", here, path);
  };
  absolute(options.rootfs);
  for (std::string& volume : options.volumes) {
    if (volume.starts_with('.')) absolute(volume);
  }
  for (MountOption& mount : options.mounts) {
    if (mount.type == "bind") absolute(mount.source);
  }
  for (std::string& option : options.security_opt) {
    constexpr std::string_view kKey = "seccomp=";
    if (!option.starts_with(kKey)) continue;
    std::string file = option.substr(kKey.size());
    if (file == "unconfined" || file == "default") continue;
    absolute(file);
    option = fmt::format("{}{}", kKey, file);
  }
}

Result<> settle_environment(RunOptions& options, const HostFacts& host) {
  std::vector<std::string> env;
  for (const std::string& file : options.env_files) {
    const std::string content = TRY_IN(host.read_file(file), "--env-file");
    merge_env(env, TRY_IN(parse_env_file(content), "--env-file \"{}\"", file), host.environment);
  }
  for (const std::string& entry : options.env) {
    if (!entry.empty() && entry.front() != '=') continue;
    return fail(ErrorCode::kInvalidArgument, "-e \"{}\": an environment variable needs a name",
                entry);
  }
  merge_env(env, options.env, host.environment);
  options.env = std::move(env);
  options.env_files.clear();
  return {};
}

monitor::AttachOptions streams_of(const PoolRecord& pool, const TakeOptions& options) {
  return {.terminal = pool.run.terminal,
          .interactive = pool.run.interactive,
          .detach_keys = options.detach_keys,
          .forward_signals = true};
}

// One that was taken: its container runs.
struct Taken {
  std::string id;
  UniqueFd connection;
};

// Takers begin at different places, so that they seldom want the same one.
Result<std::vector<std::string>> candidates(const Home& home, const std::string& name) {
  std::vector<std::string> ids = TRY(list_members(monitor::pool_directory(home.directories, name)));
  std::random_device random;
  if (!ids.empty()) {
    std::ranges::rotate(ids, ids.begin() + static_cast<ptrdiff_t>(random() % ids.size()));
  }
  return ids;
}

// Its new name is the taker's before it is started, its old one is free after that.
Result<UniqueFd> start_named(const Home& home, const std::string& id,
                             const monitor::StartRequest& request,
                             const monitor::AttachOptions& streams) {
  if (request.name.empty()) return start_waiting(home, id, request, streams);
  const auto record = monitor::read_record(home.directories, id);
  if (!record) return std::unexpected(Error(record.error()).with_code(ErrorCode::kNotFound));
  TRY(claim_name(home, request.name, id));
  auto started = start_waiting(home, id, request, streams);
  (void)monitor::release_name(home.directories, started ? record->name : request.name, id);
  return started;
}

// Nothing: none is ready.
Result<std::optional<Taken>> take(const Home& home, const std::string& name,
                                  const monitor::StartRequest& request,
                                  const monitor::AttachOptions& streams) {
  for (const std::string& id : TRY(candidates(home, name))) {
    auto connection = start_named(home, id, request, streams);
    if (connection) return Taken{.id = id, .connection = std::move(*connection)};
    // Taken by another, dead, or not ready yet.
    const ErrorCode code = connection.error().code();
    if (code == ErrorCode::kWrongState || code == ErrorCode::kNotFound) continue;
    return std::unexpected(std::move(connection).error());
  }
  return std::nullopt;
}

Result<Engine::RunResult> follow(const Home&, Taken taken, const TakeOptions& options,
                                 const monitor::AttachOptions& streams) {
  if (options.detach) return Engine::RunResult{.id = taken.id, .detached = true};
  const auto outcome =
      TRY(monitor::attach_client(std::move(taken.connection), streams, monitor::Announce::kNo));
  return Engine::RunResult{
      .id = taken.id, .detached = outcome.detached, .exit_code = outcome.exit_code};
}

// By the image's name, if that still means the pool's.
std::string image_for_run(const Home& home, const PoolRecord& pool) {
  if (pool.image.empty()) return pool.run.image;
  const auto named = home.store.find(pool.image);
  return named && named->id == pool.run.image ? pool.image : pool.run.image;
}

Result<Engine::RunResult> run_anew(const Home& home, const PoolRecord& pool,
                                   const TakeOptions& options) {
  if (options.on_warning) {
    const auto failure = last_pool_failure(home, pool.name);
    options.on_warning(fmt::format("no container of pool \"{}\" is ready{}: one is made now",
                                   pool.name,
                                   failure ? fmt::format(" ({})", failure->message()) : ""));
  }
  RunOptions run = pool.run;
  run.name = options.name;
  run.detach = options.detach;
  run.remove = options.remove;
  run.detach_keys = options.detach_keys;
  run.on_warning = options.on_warning;
  if (options.timeout) run.timeout = options.timeout;
  run.image = image_for_run(home, pool);
  return run_container(home, run);
}

uint64_t memory_of(const Home& home, const std::string& id) {
  const auto container = container::Container::load(home.directories.engine(), id);
  if (!container) return 0;
  const auto stats = container->stats();
  return stats ? stats->memory_usage : 0;
}

PoolInfo describe(const Home& home, const PoolRecord& pool) {
  PoolInfo info{.name = pool.name,
                .image = pool.image.empty() ? pool.run.rootfs : pool.image,
                .image_id = pool.run.image,
                .command = pool.run.command,
                .isolation = pool.run.isolation.empty() ? "auto" : pool.run.isolation,
                .size = pool.size,
                .created = pool.created,
                .members = {},
                .error = {}};
  const std::string directory = monitor::pool_directory(home.directories, pool.name);
  for (const std::string& id : list_members(directory).value_or(std::vector<std::string>())) {
    if (!is_ready(home, id)) continue;
    info.memory += memory_of(home, id);
    info.members.push_back(id);
  }
  info.ready = info.members.size();
  info.filling = is_pool_locked(directory);
  if (const auto failure = last_pool_failure(home, pool.name)) info.error = failure->message();
  return info;
}

Result<> check_size(size_t size) {
  if (size <= kMaxPoolSize) return {};
  return fail(ErrorCode::kInvalidArgument, "a pool of {} containers: it can have up to {}", size,
              kMaxPoolSize);
}

}  // namespace

Result<RunOptions> settle_options(const Home& home, RunOptions options) {
  TRY(check_options(options));
  const HostFacts host = make_host_facts();
  TRY(settle_environment(options, host));
  make_absolute(options, host.working_directory);
  if (!options.image.empty()) options.image = TRY(resolve_image(home, options))
  .id;
  options.pull = "never";
  options.transfer = {};
  return options;
}

Result<PoolInfo> create_pool(const Home& home, const PoolOptions& options) {
  TRY(check_name(options.name));
  TRY(check_size(options.size));
  const PoolRecord record {
    .name = options.name, .created = std::chrono::system_clock::now(), .size = options.size,
    .image = options.run.image, .run = TRY(settle_options(home, options.run))
  };
  TRY(add_pool(home, record));
  auto filled = run_filler(home, record.name, Patience::kWait);
  if (filled) return describe_pool(home, record.name);
  const auto removed = remove_pool(home, record.name, true);
  Error cause = std::move(filled).error();
  return std::unexpected(removed ? std::move(cause) : std::move(cause).note(removed.error()));
}

Result<Engine::RunResult> run_from_pool(const Home& home, std::string_view name,
                                        const TakeOptions& options) {
  const PoolRecord pool = TRY(read_pool(home, name));
  if (!options.name.empty()) TRY(check_name(options.name));
  monitor::StartRequest request{
      .foreground = !options.detach, .remove = options.remove, .name = options.name};
  if (options.timeout) request.timeout_ms = options.timeout->count();
  const monitor::AttachOptions streams = streams_of(pool, options);
  for (;;) {
    auto taken = take(home, pool.name, request, streams);
    if (taken && !*taken && options.wait) {
      TRY(run_filler(home, pool.name, Patience::kWait));
      // It may have been removed meanwhile.
      if (TRY(read_pool(home, name)).size != 0) continue;
      return std::unexpected(
          Error(ErrorCode::kWrongState, fmt::format("pool \"{}\" has size 0", name))
              .hint(fmt::format("trivet pool resize {} 1", name)));
    }
    // In the background: that it can't be is told when there is none to take.
    (void)run_filler(home, pool.name, Patience::kTry);
    if (!taken) return std::unexpected(std::move(taken).error());
    if (!*taken) return run_anew(home, pool, options);
    return follow(home, std::move(**taken), options, streams);
  }
}

Result<PoolInfo> resize_pool(const Home& home, std::string_view name, size_t size) {
  TRY(check_size(size));
  PoolRecord record = TRY(read_pool(home, name));
  record.size = size;
  TRY(write_pool(home, record));
  TRY(run_filler(home, record.name, Patience::kWait));
  return describe_pool(home, name);
}

Result<> remove_pool(const Home& home, std::string_view name, bool force) {
  const PoolRecord record = TRY(read_pool(home, name));
  const PoolInfo info = describe(home, record);
  if (info.ready != 0 && !force) {
    return std::unexpected(
        Error(ErrorCode::kWrongState,
              fmt::format("{} containers of pool \"{}\" wait", info.ready, name))
            .hint(fmt::format("remove them with it: trivet pool rm -f {}", name)));
  }
  return clear_hidden_pool(home, TRY(hide_pool(home, name)));
}

Result<PoolInfo> describe_pool(const Home& home, std::string_view name) {
  return describe(home, TRY(read_pool(home, name)));
}

Result<std::vector<PoolInfo>> list_pools(const Home& home) {
  std::vector<PoolInfo> list;
  for (const std::string& name : TRY(list_pool_names(home))) {
    const auto pool = read_pool(home, name);
    if (!pool && pool.error().code() == ErrorCode::kNotFound) continue;  // removed meanwhile
    if (!pool) return std::unexpected(pool.error());
    list.push_back(describe(home, *pool));
  }
  return list;
}

Result<std::string> inspect_pool(const Home& home, std::string_view name) {
  const PoolRecord record = TRY(read_pool(home, name));
  const PoolInfo info = describe(home, record);
  const Json document = {{"Name", info.name},
                         {"Image", info.image},
                         {"ImageID", info.image_id},
                         {"Isolation", info.isolation},
                         {"Created", format_rfc3339(info.created)},
                         {"Size", info.size},
                         {"Ready", info.ready},
                         {"Filling", info.filling},
                         {"MemoryBytes", info.memory},
                         {"Members", info.members},
                         {"Error", info.error},
                         {"Options", options_to_json(record.run)}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace trivet::runtime
