#include "runtime/copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/overlay_view.h"
#include "copy/place.h"
#include "copy/tar.h"
#include "runtime/machine.h"
#include "runtime/mount_request.h"
#include "runtime/stored_options.h"

namespace trivet::runtime {

namespace {

using copy::Side;

Result<Side> container_side(const Home& home, const Observed& observed, const std::string& path) {
  if (path.empty()) return fail(ErrorCode::kInvalidArgument, "a path in the container is needed");
  Entrance entrance = TRY(open_entrance(home, observed, path.front() == '/' ? path : "/" + path));
  return Side{.root = std::move(entrance.root),
              .path = std::move(entrance.path),
              .label = fmt::format("{}:{}", observed.record.name, path)};
}

Side host_side(const std::string& path) {
  return {.root = {}, .path = path, .label = path};
}

Result<UniqueFd> open_running_root(const Observed& observed) {
  const UniqueFd pidfd = TRY(open_pidfd(observed.status.init));
  UniqueFd root =
      TRY(open_file(fmt::format("/proc/{}/root", observed.status.init.pid), O_PATH | O_DIRECTORY));
  // Still the same process: then the root was its, too.
  TRY(send_signal(pidfd.get(), 0));
  return root;
}

Result<UniqueFd> open_stopped_root(const Observed& observed) {
  if (observed.record.overlay) return container::open_overlay(*observed.record.overlay);
  return open_file(observed.record.rootfs, O_PATH | O_DIRECTORY);
}

// The mount that covers a path, deepest first.
struct Cover {
  std::string source;
  std::string rest;
};
std::optional<Cover> find_cover(const monitor::Record& record, const std::string& path) {
  std::optional<Cover> best;
  size_t best_length = 0;
  for (const StoredMount& mount : stored_mounts(record.options_json)) {
    const std::string& destination = mount.destination;
    const bool covers = path == destination || path.starts_with(destination + "/");
    if (!covers || mount.source.empty() || destination.size() < best_length) continue;
    best_length = destination.size();
    best = Cover{.source = mount.source, .rest = path.substr(destination.size())};
  }
  return best;
}

}  // namespace

Result<Entrance> open_entrance(const Home&, const Observed& observed, const std::string& path) {
  if (observed.init_alive) {
    UniqueFd root = TRY(open_running_root(observed));
    return Entrance{.root = std::move(root), .path = path};
  }
  const std::string normal = TRY(normal_path(path));
  const auto cover = find_cover(observed.record, normal);
  if (!cover) {
    UniqueFd root = TRY(open_stopped_root(observed));
    return Entrance{.root = std::move(root), .path = path};
  }
  struct stat status{};
  if (stat(cover->source.c_str(), &status) != 0) return fail_errno("stat \"{}\"", cover->source);
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::kUnsupported, "\"{}\" is a single file mounted from \"{}\": use that",
                path, cover->source);
  }
  const std::string tail = path.ends_with("/.") ? "/." : path.ends_with("/") ? "/" : "";
  UniqueFd root = TRY(open_file(cover->source, O_PATH | O_DIRECTORY));
  return Entrance{.root = std::move(root),
                  .path = (cover->rest.empty() ? "/" : cover->rest) + tail};
}

Result<> copy_out(const Home& home, const Observed& observed, const std::string& path,
                  const std::string& host_path) {
  if (monitor::is_machine(observed.record)) return copy_out_of_machine(observed, path, host_path);
  const Side from = TRY(container_side(home, observed, path));
  if (host_path == "-") {
    const copy::Found source = TRY(copy::find_source(from));
    return copy::write_tar(source.parent.get(), source.name, copy::sink_to(STDOUT_FILENO));
  }
  return copy::copy_between(from, host_side(host_path),
                            {.owner = std::pair(geteuid(), getegid()), .xattrs = false});
}

Result<> copy_in(const Home& home, const Observed& observed, const std::string& host_path,
                 const std::string& path) {
  if (monitor::is_machine(observed.record)) return copy_into_machine(observed, host_path, path);
  const Side to = TRY(container_side(home, observed, path));
  if (host_path == "-") {
    const UniqueFd directory = TRY_IN(to.open(to.path, O_RDONLY | O_DIRECTORY), "\"{}\"", to.label);
    return read_tar(STDIN_FILENO, directory.get());
  }
  return copy::copy_between(host_side(host_path), to,
                            {.owner = std::pair(0U, 0U), .xattrs = false});
}

}  // namespace trivet::runtime
