#include "runtime/prune.h"

#include <algorithm>

#include "base/fs.h"
#include "runtime/create.h"
#include "runtime/lifecycle.h"
#include "runtime/names.h"
#include "runtime/observe.h"
#include "runtime/pool_fill.h"

namespace trivet::runtime {

namespace {

Result<std::vector<std::string>> entries(const std::string& directory) {
  auto names = list_dir(AT_FDCWD, directory);
  if (!names && names.error().errnum() == ENOENT) return std::vector<std::string>();
  return names;
}

class Pruning {
 public:
  explicit Pruning(const Home& home) : home_(home) {}

  Result<PruneResult> run() {
    prune_pools();
    for (const std::string& id : TRY(list_ids(home_))) prune_one(id);
    for (const std::string& id : TRY(container::Container::list(home_.directories.engine()))) {
      prune_engine(id);
    }
    for (const std::string& id : TRY(entries(home_.directories.state + "/containers"))) {
      prune_runtime_directory(id);
    }
    for (const std::string& name : TRY(entries(home_.directories.names()))) prune_name(name);
    for (const std::string& id : TRY(entries(home_.directories.removed()))) prune_removed(id);
    if (failure_) return std::unexpected(*failure_);
    return std::move(result_);
  }

 private:
  void note(const Result<>& result) {
    if (result) return;
    failure_ = failure_ ? std::move(*failure_).note(result.error()) : result.error();
  }

  [[nodiscard]] bool has_directory(const std::string& id) const {
    return exists(home_.directories.container(id)) || exists(home_.pods() + "/" + id);
  }

  // What is left of a creation or a removal, then what died in a pool that nobody fills just now.
  void prune_pools() {
    const auto hidden = list_hidden_pools(home_);
    note(hidden ? Result<>() : std::unexpected(hidden.error()));
    for (const std::string& directory : hidden.value_or(std::vector<std::string>())) {
      note(clear_hidden_pool(home_, directory));
    }
    const auto names = list_pool_names(home_);
    for (const std::string& name : names.value_or(std::vector<std::string>())) {
      note(settle_pool(home_, name));
    }
  }

  void prune_one(const std::string& id) {
    const auto observed = observe(home_, id);
    // In a pool it is cared for by whoever fills that.
    if (observed && observed->state == ContainerStatus::kCreated && waits_in_pool(home_, id)) {
      if (is_lost_member(home_, id)) prune_lost(observed->record);
      return;
    }
    const std::string path = home_.directories.container(id);
    if (observed && !observed->record.pod.empty()) return;  // it goes with its pod
    UniqueFd nobody_creates;
    if (!observed) {
      nobody_creates = try_pause_creations(home_);
      if (!nobody_creates && !exists(path + "/record.json")) return;
      if (monitor::monitor_alive(home_.directories, id)) return;
    } else if (observed->monitor_alive || observed->init_alive ||
               observed->state == ContainerStatus::kBroken) {
      return;
    }
    const uint64_t bytes = disk_usage(AT_FDCWD, path).value_or(0);
    monitor::Record record;
    record.id = id;
    if (observed) record = observed->record;
    const auto anonymous = record.remove ? AnonymousVolumes::kRemove : AnonymousVolumes::kKeep;
    const auto erased = erase_container(home_, record, anonymous);
    note(erased);
    if (!erased) return;
    result_.removed.push_back(record.name.empty() ? id : record.name);
    result_.bytes += bytes;
  }

  void prune_lost(const monitor::Record& record) {
    const auto discarded = discard_member(home_, record.id);
    note(discarded);
    if (discarded) result_.removed.push_back(record.name);
  }

  // trivet-oci has a state root of its own: what is here belongs to containers of this library.
  void prune_engine(const std::string& id) {
    if (has_directory(id) || monitor::monitor_alive(home_.directories, id)) return;
    note(container::Container::force_remove(home_.directories.engine(), id));
  }

  void prune_runtime_directory(const std::string& id) {
    if (has_directory(id) || monitor::monitor_alive(home_.directories, id)) return;
    note(remove_tree(AT_FDCWD, home_.directories.runtime(id)));
  }

  // A claim is made after the directory, so one without a directory is stale.
  void prune_name(const std::string& name) {
    const auto owner = owner_or_release(home_, name);
    note(owner ? Result<>() : std::unexpected(owner.error()));
  }

  // Its monitor may be at it still, which makes no difference.
  void prune_removed(const std::string& id) {
    const std::string path = fmt::format("{}/{}", home_.directories.removed(), id);
    const uint64_t bytes = disk_usage(AT_FDCWD, path).value_or(0);
    const auto removed = remove_tree(AT_FDCWD, path);
    note(removed);
    if (removed) result_.bytes += bytes;
  }

  const Home& home_;
  PruneResult result_;
  std::optional<Error> failure_;
};

}  // namespace

Result<PruneResult> prune_containers(const Home& home) {
  return Pruning(home).run();
}

}  // namespace trivet::runtime
