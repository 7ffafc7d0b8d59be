#include "runtime/pool_fill.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/failures.h"
#include "base/fs.h"
#include "base/paths.h"
#include "monitor/control.h"
#include "monitor/pool_member.h"
#include "runtime/create.h"
#include "runtime/lifecycle.h"
#include "runtime/names.h"
#include "runtime/observe.h"
#include "runtime/pool_start.h"

namespace trivet::runtime {

namespace {

Result<> add_entry(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return fail_errno("make \"{}\"", path);
  return {};
}

Result<> drop_entry(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("unlink \"{}\"", path);
  return {};
}

// What it comes from is noted before there is a monitor to look for it. Shown is the image's name,
// not what the pool has pinned.
Result<> note_origin(const Home& home, const PoolRecord& pool, monitor::Record& record) {
  if (!pool.image.empty()) record.image = pool.image;
  TRY(monitor::write_record(home.directories, record));
  return monitor::write_pool_of(home.directories, record.id, pool.name);
}

// Prepared, by a monitor that may have to start it any moment.
Result<> prepare_container(const Home& home, const PoolRecord& pool, const std::string& id) {
  monitor::MonitorStarting holder = TRY(spawn_holder(home, id));
  monitor::Record record = TRY(create_container(home, pool.run, ResolveJoins::kNow, id));
  const auto hold = [&]() -> Result<> {
    TRY(note_origin(home, pool, record));
    TRY(holder.go());
    TRY(holder.wait());
    return {};
  };
  auto held = hold();
  if (held) return {};
  return std::unexpected(discard_container(home, record, std::move(held).error()));
}

// The entry is first, so that nothing of the container is ever unknown to the pool.
Result<> add_member(const Home& home, const PoolRecord& pool) {
  const std::string id = make_id();
  const std::string entry = monitor::pool_entry(home.directories, pool.name, id);
  TRY(add_entry(entry));
  auto prepared = prepare_container(home, pool, id);
  if (prepared) return {};
  const auto dropped = drop_entry(entry);
  Error cause = std::move(prepared).error();
  return std::unexpected(dropped ? std::move(cause) : std::move(cause).note(dropped.error()));
}

enum class Member {
  kReady,
  kTaken,  // it is no longer the pool's
  kDead,   // what is left of one: its monitor, or whoever prepared it, was killed
};

Member judge(const monitor::Status& status, bool monitor_alive) {
  if (status.phase != monitor::Phase::kCreated || status.started) return Member::kTaken;
  return monitor_alive ? Member::kReady : Member::kDead;
}

Member look_at(const Home& home, const std::string& id) {
  const auto status = monitor::read_status(home.directories, id);
  if (!status) return Member::kDead;
  return judge(*status, monitor::monitor_alive(home.directories, id));
}

// Only with the pool's lock: whoever prepares one has it.
Result<> erase_dead(const Home& home, const std::string& id) {
  auto record = monitor::read_record(home.directories, id);
  monitor::Record half_made;
  half_made.id = id;
  return erase_container(home, record.value_or(half_made), AnonymousVolumes::kRemove);
}

// One filling of a pool whose lock we have.
class Filling {
 public:
  Filling(const Home& home, PoolRecord pool) : home_(home), pool_(std::move(pool)) {}

  Result<> run() {
    TRY(settle());
    while (ready_.size() < pool_.size) {
      TRY(add_member(home_, pool_));
      TRY(settle());
      TRY(look_again());
    }
    while (ready_.size() > pool_.size) {
      TRY(end_one(ready_.back()));
      ready_.pop_back();
    }
    return {};
  }

  Result<> settle() {
    ready_.clear();
    for (const std::string& id :
         TRY(list_members(monitor::pool_directory(home_.directories, pool_.name)))) {
      const Member member = look_at(home_, id);
      if (member == Member::kReady) {
        ready_.push_back(id);
        continue;
      }
      if (member == Member::kDead) TRY(erase_dead(home_, id));
      TRY(drop_entry(entry(id)));
    }
    return {};
  }

 private:
  [[nodiscard]] std::string entry(const std::string& id) const {
    return monitor::pool_entry(home_.directories, pool_.name, id);
  }

  // Its size may have changed. One that is gone wants nothing any more.
  Result<> look_again() {
    const auto now = read_pool(home_, pool_.name);
    if (now) pool_.size = now->size;
    if (!now && now.error().code() != ErrorCode::kNotFound) return std::unexpected(now.error());
    if (!now) pool_.size = 0;
    return {};
  }

  Result<> end_one(const std::string& id) {
    TRY(discard_member(home_, id));
    return drop_entry(entry(id));
  }

  const Home& home_;
  PoolRecord pool_;
  std::vector<std::string> ready_;
};

Result<bool> lacks(const Home& home, const std::string& name) {
  const auto pool = read_pool(home, name);
  if (!pool) return false;
  size_t ready = 0;
  for (const std::string& id : TRY(list_members(monitor::pool_directory(home.directories, name)))) {
    if (is_ready(home, id)) ++ready;
  }
  return ready < pool->size;
}

}  // namespace

bool is_ready(const Home& home, const std::string& id) {
  return look_at(home, id) == Member::kReady;
}

Result<> fill_pool(const Home& home, const std::string& name, Patience patience) {
  // Who takes one while we have the lock leaves it to us: we look again after we had it.
  do {
    const auto lock = lock_pool(monitor::pool_directory(home.directories, name), patience);
    if (!lock && lock.error().errnum() == ENOENT) return {};
    if (!lock) return std::unexpected(lock.error());
    if (!*lock) return {};
    auto pool = read_pool(home, name);
    if (!pool && pool.error().code() == ErrorCode::kNotFound) return {};
    auto filled = pool ? Filling(home, std::move(*pool)).run() : std::unexpected(pool.error());
    // Of a pool that was removed meanwhile.
    if (!filled && !exists(monitor::pool_directory(home.directories, name))) return {};
    note_pool_failure(home, name, filled ? std::nullopt : std::optional(filled.error()));
    if (!filled) return filled;
  } while (TRY(lacks(home, name)));
  return {};
}

Result<> settle_pool(const Home& home, const std::string& name) {
  const auto lock = lock_pool(monitor::pool_directory(home.directories, name), Patience::kTry);
  if (!lock || !*lock) return {};
  auto pool = read_pool(home, name);
  return pool ? Filling(home, std::move(*pool)).settle() : Result<>();
}

Result<> run_filler(const Home& home, const std::string& name, Patience patience) {
  const std::string program = find_companion("trivet-pool-filler");
  if (program.empty()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "the program trivet-pool-filler is not installed")
            .hint("it belongs beside trivet or into PREFIX/libexec/trivet"));
  }
  auto filler = TRY(monitor::spawn_monitor({.directories = home.directories,
                                            .id = name,
                                            .program = program,
                                            .hold = patience == Patience::kWait}));
  TRY(filler.go());
  if (patience == Patience::kTry) return {};
  TRY(filler.wait());
  return {};
}

Result<> discard_member(const Home& home, const std::string& id) {
  const auto connection = monitor::watch_container(home.directories, id);
  Result<> ended;
  if (connection) {
    ended = monitor::request_start(connection->get(), {.discard = true});
    if (!ended && ended.error().code() == ErrorCode::kWrongState) return {};  // taken
  } else if (connection.error().code() != ErrorCode::kNotFound) {
    return std::unexpected(connection.error());
  }
  if (!ended && ended.error().code() != ErrorCode::kNotFound) return ended;
  TRY(wait_for_monitor_end(home, id));
  if (!exists(home.directories.container(id)) || look_at(home, id) == Member::kTaken) return {};
  return erase_dead(home, id);
}

// The lock is waited for: whoever prepares one here still finishes with it.
Result<> clear_hidden_pool(const Home& home, const std::string& directory) {
  const auto lock = lock_pool(directory, Patience::kWait);
  if (!lock) {
    return lock.error().errnum() == ENOENT ? Result<>() : std::unexpected(lock.error());
  }
  Failures failures;
  for (const std::string& id : TRY(list_members(directory))) {
    const Member member = look_at(home, id);
    if (member == Member::kReady) failures.add(discard_member(home, id));
    if (member == Member::kDead) failures.add(erase_dead(home, id));
  }
  TRY(std::move(failures).result());
  return remove_tree(AT_FDCWD, directory);
}

bool waits_in_pool(const Home& home, const std::string& id) {
  const auto pool = monitor::read_pool_of(home.directories, id);
  return pool && !pool->empty() && look_at(home, id) != Member::kTaken;
}

bool is_lost_member(const Home& home, const std::string& id) {
  const auto pool = monitor::read_pool_of(home.directories, id);
  return pool && !pool->empty() && check_name(*pool) &&
         !exists(monitor::pool_entry(home.directories, *pool, id));
}

}  // namespace trivet::runtime
