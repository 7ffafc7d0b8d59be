#include "runtime/volumes.h"

#include <algorithm>
#include <map>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/rollback.h"
#include "container/overlay_view.h"
#include "copy/tree.h"
#include "runtime/names.h"
#include "runtime/stored_options.h"

namespace trivet::runtime {

namespace {

std::string volume_path(const Home& home, const std::string& name) {
  return fmt::format("{}/{}", home.volumes(), name);
}

// Volume name to the names of the containers that use it.
Result<std::map<std::string, std::vector<std::string>>> volume_users(const Home& home) {
  std::map<std::string, std::vector<std::string>> users;
  for (const std::string& id : TRY(list_ids(home))) {
    const auto record = monitor::read_record(home.directories, id);
    if (!record) continue;
    for (const std::string& volume : volumes_of(*record)) users[volume].push_back(record->name);
  }
  return users;
}

// When it was made; the epoch when volume.json can't tell.
Timestamp created_at(const std::string& path) {
  const auto text = read_file(path + "/volume.json", 1U << 20U);
  const auto document = parse_json(text.value_or(std::string()), "volume.json");
  if (!document) return {};
  std::string created;
  (void)JsonView(*document, "").read("CreatedAt", created);
  return parse_timestamp(created).value_or(Timestamp{});
}

Result<std::vector<std::string>> volume_names(const Home& home) {
  auto names = list_dir(AT_FDCWD, home.volumes());
  if (names) return names;
  if (names.error().errnum() == ENOENT) return std::vector<std::string>();
  return names;
}

// A volume of these layers may have something at `path`: cheaper than mounting them.
bool any_layer_has(const std::vector<std::string>& layers, const std::string& path) {
  return std::ranges::any_of(layers, [&](const std::string& layer) {
    const auto root = open_file(layer, O_PATH | O_DIRECTORY);
    if (!root) return false;
    const auto found = open_in_root(root->get(), path, O_PATH);
    // A symlink may lead through another layer: only the whole can tell.
    return found.has_value() || found.error().errnum() != ENOENT;
  });
}

}  // namespace

Result<Presence> make_volume(const Home& home, const std::string& name, bool anonymous) {
  TRY(check_volume_name(name));
  const std::string path = volume_path(home, name);
  if (exists(path + "/_data")) return Presence::kExisted;
  TRY(make_dirs(home.volumes(), 0711));
  TRY(make_dirs(path, 0711));
  Rollback rollback;
  rollback.add([path] { return remove_tree(AT_FDCWD, path); });
  const Json document = {{"Name", name},
                         {"CreatedAt", format_rfc3339(std::chrono::system_clock::now())},
                         {"Anonymous", anonymous}};
  const auto made = [&]() -> Result<> {
    TRY(replace_file(AT_FDCWD, path + "/volume.json", document.dump() + "\n", 0600));
    return make_dirs(path + "/_data", 0755);
  }();
  if (!made)
    return std::unexpected(rollback.fail(made.error()).in(fmt::format("volume \"{}\"", name)));
  rollback.commit();
  return Presence::kMade;
}

Result<> remove_volume(const Home& home, const std::string& name, bool force) {
  TRY(check_volume_name(name));
  const std::string path = volume_path(home, name);
  if (!exists(path)) {
    if (force) return {};
    return std::unexpected(
        Error(ErrorCode::kNotFound, fmt::format("there is no volume \"{}\"", name))
            .hint("`trivet volume ls` lists the volumes"));
  }
  const auto users = TRY(volume_users(home));
  if (const auto found = users.find(name); found != users.end()) {
    return std::unexpected(
        Error(ErrorCode::kWrongState, fmt::format("volume \"{}\" is in use by container \"{}\"",
                                                  name, join(found->second, "\", \"")))
            .hint("remove the container first"));
  }
  return remove_tree(AT_FDCWD, path);
}

Result<std::vector<VolumeInfo>> list_volumes(const Home& home) {
  const auto users = TRY(volume_users(home));
  std::vector<VolumeInfo> list;
  for (const std::string& name : TRY(volume_names(home))) {
    const std::string path = volume_path(home, name);
    if (!exists(path + "/_data")) continue;
    VolumeInfo info{.name = name, .path = path + "/_data", .created = created_at(path)};
    if (const auto found = users.find(name); found != users.end()) info.used_by = found->second;
    list.push_back(std::move(info));
  }
  return list;
}

Result<PruneResult> prune_volumes(const Home& home) {
  const auto users = TRY(volume_users(home));
  PruneResult result;
  for (const std::string& name : TRY(volume_names(home))) {
    if (users.contains(name)) continue;
    const std::string path = volume_path(home, name);
    const uint64_t bytes = disk_usage(AT_FDCWD, path).value_or(0);
    TRY_IN(remove_tree(AT_FDCWD, path), "volume \"{}\"", name);
    result.removed.push_back(name);
    result.bytes += bytes;
  }
  return result;
}

std::vector<std::string> volumes_of(const monitor::Record& record) {
  std::vector<std::string> names = record.anonymous_volumes;
  for (const StoredMount& mount : stored_mounts(record.options_json)) {
    if (mount.type != "volume" || std::ranges::find(names, mount.name) != names.end()) continue;
    names.push_back(mount.name);
  }
  return names;
}

Result<> copy_up(const Home& home, const std::vector<std::string>& layers, const VolumeUse& use) {
  if (!use.copy_up || !any_layer_has(layers, use.destination)) return {};
  const std::string data = volume_path(home, use.name) + "/_data";
  if (!TRY(list_dir(AT_FDCWD, data)).empty()) return {};
  const UniqueFd root = TRY(container::open_overlay(
      {.lower_directories = layers, .upper_directory = {}, .work_directory = {}}));
  const auto source = open_in_root(root.get(), use.destination, O_RDONLY | O_DIRECTORY);
  if (!source) {
    const int errnum = source.error().errnum();
    if (errnum == ENOENT || errnum == ENOTDIR) return {};
    return std::unexpected(source.error());
  }
  const UniqueFd target = TRY(open_file(data, O_RDONLY | O_DIRECTORY));
  TRY_IN(copy::copy_contents(source->get(), target.get(), {}), "volume \"{}\": copy \"{}\"",
         use.name, use.destination);
  return {};
}

}  // namespace trivet::runtime
