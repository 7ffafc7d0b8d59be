// Warm pools: containers that are prepared and wait, so that to start one is one write.
//
// A pool is a name, the options of its containers and how many of them should wait. A native
// container waits with its namespaces, mounts, cgroup and network made and its program found, about
// to be executed; a WebAssembly one in the same way, with its code compiled and its host about to
// be executed; a microVM with its guest up and the program about to be executed there. No process
// lives as long as the pool: each container that waits has its own monitor, as a running one has,
// and whoever takes one has the next one prepared in the background.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/engine.h"
#include "trivet/export.h"
#include "trivet/result.h"
#include "trivet/types.h"

namespace trivet {

// A pool to be made.
struct PoolOptions {
  std::string name;  // as a container's: 1 to 128 of [a-zA-Z0-9_.-]
  size_t size = 1;   // containers that wait; 0 to kMaxPoolSize
  // Of each container. The image is looked up (pulled, if the options say so) once, now: the pool
  // keeps it, whatever its name means later. So it does with the environment that is taken from the
  // caller, with `env_files` and with paths that are relative. kInvalidArgument for what belongs to
  // one container or to its run: name, detach, remove, rootfs_write, ports of the host (only one
  // container can have them), and namespaces of other containers.
  RunOptions run;
};

// The largest PoolOptions::size.
inline constexpr size_t kMaxPoolSize = 512;

// How one container is taken from a pool and run. Its command and environment are the pool's; what
// it shall do otherwise, it is told by its stdin, by a volume or by Engine::exec().
struct TakeOptions {
  std::string name = {};  // empty: the one that was made up for it
  bool detach = false;    // return as soon as the program runs
  bool remove = false;    // when it ends, every trace of it goes
  // Of the whole run, instead of the pool's.
  std::optional<std::chrono::milliseconds> timeout = std::nullopt;
  // When none is ready: wait for one. Otherwise a container is made and started as Engine::run()
  // does it, and on_warning is told so.
  bool wait = false;
  std::string detach_keys = "ctrl-p,ctrl-q";  // in the foreground, with a terminal
  // Receives what is no failure; may be empty.
  std::function<void(const std::string&)> on_warning = {};
};

// A pool as it is now.
struct PoolInfo {
  std::string name;                               // of the pool
  std::string image;                              // as it was named; the directory with --rootfs
  std::string image_id;                           // empty with --rootfs
  std::vector<std::string> command;               // the pool's; empty: the image's
  std::string isolation;                          // as it was asked for; "auto"
  size_t size = 0;                                // how many should wait
  size_t ready = 0;                               // how many do
  bool filling = false;                           // more are being prepared now
  uint64_t memory = 0;                            // bytes in the cgroups of those that wait
  std::chrono::system_clock::time_point created;  // when the pool was
  std::vector<std::string> members;               // ids of those that wait
  std::string error;                              // why the last one could not be prepared, if so
};

// The pools of one data and one state directory: those of an Engine on the same. As with an Engine,
// there is no global state, a handle may be used from several threads, and it sees what other
// processes do. `name` is a pool's name: kNotFound when there is none.
class TRIVET_API Pools {
 public:
  // Only the directories are made, no process is started.
  static Result<Pools> open(const EngineOptions& options = {});
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;
  Pools(Pools&&) noexcept;             // what was moved from may only be destroyed or assigned to
  Pools& operator=(Pools&&) noexcept;  // the same
  ~Pools();                            // the pools stay

  // Returns when all its containers wait; a failure leaves nothing of it. kAlreadyExists.
  Result<PoolInfo> create(const PoolOptions& options);
  // Takes one that waits and starts it: Engine::run() without the making. No two callers ever get
  // the same one. Has the pool filled up again in the background, by a process that ends by itself.
  // Errors are those of Engine::run(); of a container whose program can't be started nothing stays.
  Result<Engine::RunResult> run(std::string_view name, const TakeOptions& options);
  // How many wait from now on. Returns when they do, or when what is too many has gone.
  Result<PoolInfo> resize(std::string_view name, size_t size);
  // With the containers that wait; those that were taken stay. Without force kWrongState when some
  // wait.
  Result<> remove(std::string_view name, bool force);
  // One of them.
  Result<PoolInfo> find(std::string_view name);
  // All of them, by name.
  Result<std::vector<PoolInfo>> list();
  // Everything known, as JSON: the document of `trivet pool inspect`.
  Result<std::string> inspect(std::string_view name);

 private:
  struct State;
  explicit Pools(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trivet
