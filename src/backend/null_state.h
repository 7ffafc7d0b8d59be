// Inside of the null backend: what a NullRuntime remembers.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "trivet/null_runtime.h"

namespace trivet::backend {

struct NullContainer {
  ContainerInfo info;
  std::vector<LogLine> lines;
};

struct NullImage {
  ImageInfo info;
  std::vector<ImageHistoryEntry> history;
};

struct ScriptedExec {
  std::string container;
  std::vector<std::string> argv;
  ExecScript script;
  bool repeats = false;
  bool used = false;
};

// Plain data under one lock; `changed` tells of every change to a container.
class NullState {
 public:
  mutable std::mutex mutex;
  std::condition_variable_any changed;

  std::vector<NullContainer> containers;  // in the order of their making
  std::vector<NullImage> images;
  std::map<std::string, StartScript> starts;
  std::vector<ScriptedExec> execs;
  std::map<NullCall::Operation, std::deque<Error>> failures;
  std::vector<NullCall> calls;
  std::vector<std::string> mismatches;  // what verify() has to say
  uint64_t ids_made = 0;
  uint64_t names_made = 0;

  // --- With the lock held.

  // Writes the call down; an error when one was to come.
  Result<> note(NullCall call);
  Result<NullContainer*> find(std::string_view name);
  Result<NullImage*> find_image(std::string_view name);
  // The script of this command, which counts as used.
  Result<const ExecScript*> take_script(const std::string& container,
                                        const std::vector<std::string>& argv);
  // By a name: this name, and the image with its last one.
  Result<> remove_image(const std::string& name, Force force);
  Result<std::string> make(const RunOptions& options);
  void start(NullContainer& container);
  void end(NullContainer& container, int exit_code);
  void print(NullContainer& container, std::string text, LogLine::Stream stream);
  [[nodiscard]] std::string make_id();
};

[[nodiscard]] inline bool is_up(const ContainerInfo& info) {
  return info.status == ContainerStatus::kRunning || info.status == ContainerStatus::kPaused ||
         info.status == ContainerStatus::kRestarting;
}

// Waits until `done` says true: kTimeout, kCanceled.
enum class Wait { kDone, kLate, kStopped };
template <typename Done>
Wait wait_until(NullState& state, std::unique_lock<std::mutex>& lock,
                std::optional<std::chrono::steady_clock::time_point> deadline,
                const std::stop_token& stop, Done done) {
  bool is_done = false;
  if (deadline) {
    is_done = state.changed.wait_until(lock, stop, *deadline, done);
  } else {
    is_done = state.changed.wait(lock, stop, done);
  }
  if (is_done) return Wait::kDone;
  return stop.stop_requested() ? Wait::kStopped : Wait::kLate;
}

// Where the log of a container is read from, by its id.
std::unique_ptr<LogSource> make_null_log(std::shared_ptr<NullState> state, std::string id,
                                         const LogOptions& options);

}  // namespace trivet::backend
