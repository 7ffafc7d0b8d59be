// Containers through one interface, whatever runs them: trivet itself (native, microVM,
// WebAssembly), podman (trivet/podman_runtime.h), or NullRuntime in tests (trivet/null_runtime.h).
// docs/library.md is the tutorial.
// Pods, volumes, registries and all that is trivet's own: trivet::Engine (trivet/engine.h).
//
//   auto runtime = trivet::Runtime::open({.runtime = "native"});
//   auto box = runtime->run({.image = "alpine", .command = {"sleep", "60"}});
//   auto listing = runtime->exec(*box, {"ls", "/"}, std::chrono::seconds(5));
//
// Runtime, Container and Image are values: a shared engine and a name. To copy one costs a
// reference count, and none says that the thing exists. What does not exist gives empty results
// (std::optional, an empty list), where a function asks; where a function acts on it, kNotFound.
//
// Thread safety: different objects may be used from different threads at once, also when they share
// an engine; so may one object as long as nobody assigns to it. A LogStream and a ReservedPort
// belong to one thread at a time. Nothing is printed, nothing throws, no signal handler or other
// state of the process is touched. The process must not set SIGCHLD to be ignored and must not reap
// children that it does not know: the engine starts some.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/backend.h"
#include "trivet/engine.h"
#include "trivet/export.h"

namespace trivet {

// The lines of a container's log as they come: an input range, or one by one with a deadline.
//
//   for (const LogLine& line : stream) …
//   if (stream.error()) …   // why the range has ended early
class TRIVET_API LogStream {
 public:
  // Nothing: a log without lines.
  explicit LogStream(std::unique_ptr<LogSource> source) : source_(std::move(source)) {}

  // The next line; nothing at the end. kTimeout when `timeout` passed first: call it again.
  Result<std::optional<LogLine>> next(std::optional<std::chrono::milliseconds> timeout = {});

  // An input iterator (std::input_iterator): one pass, one at a time.
  class Iterator {
   public:
    // For std::input_iterator.
    using value_type = LogLine;
    // For std::input_iterator.
    using difference_type = std::ptrdiff_t;
    // For std::input_iterator.
    using iterator_concept = std::input_iterator_tag;

    Iterator() = default;
    // At the line that the stream is at.
    explicit Iterator(LogStream* stream) : stream_(stream) {}
    // The line; it lives until ++.
    const LogLine& operator*() const { return *stream_->current_; }
    // The same.
    const LogLine* operator->() const { return &*stream_->current_; }
    // Waits for the next line.
    Iterator& operator++() {
      stream_->advance();
      return *this;
    }
    // The same; there is no earlier position to return.
    void operator++(int) { ++*this; }
    // Whether there is no further line.
    friend bool operator==(const Iterator& iterator, std::default_sentinel_t) {
      return iterator.at_end();
    }

   private:
    [[nodiscard]] bool at_end() const { return !stream_->current_.has_value(); }

    LogStream* stream_ = nullptr;
  };

  // Blocks until there is a line; each ++ for the next one. Goes through the log once.
  Iterator begin() {
    advance();
    return Iterator(this);
  }
  // Of the range.
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }
  // Why the range has ended, if that was not the end of the log.
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  void advance();

  std::unique_ptr<LogSource> source_;  // empty: a log without lines
  std::optional<LogLine> current_;
  std::optional<Error> error_;
};

// One image, by what it was asked for. Of an image that does not exist every question gets an empty
// answer. Each question asks the engine anew; info() is all of it at once.
class TRIVET_API Image {
 public:
  // A handle; Runtime::image() makes one more easily.
  Image(std::shared_ptr<Backend> backend, std::string ref)
      : backend_(std::move(backend)), ref_(std::move(ref)) {}

  // As it was asked for: a reference, or an id.
  [[nodiscard]] const std::string& ref() const { return ref_; }

  // All that is known, by one question.
  [[nodiscard]] Result<std::optional<ImageInfo>> info() const;
  // Whether the engine has it.
  [[nodiscard]] Result<bool> exists() const;
  [[nodiscard]] Result<std::optional<std::string>> id() const;  // "sha256:…"
  // "docker.io/library/alpine" and "3.20"; both "<none>" for a dangling image. Asked by id, an
  // image with several names has its first.
  [[nodiscard]] Result<std::optional<std::string>> repository() const;
  // See repository().
  [[nodiscard]] Result<std::optional<std::string>> tag() const;
  [[nodiscard]] Result<std::optional<uint64_t>> size() const;  // bytes, unpacked
  // When it was built.
  [[nodiscard]] Result<std::optional<std::chrono::system_clock::time_point>> created() const;
  // Of its configuration; none for an image that does not exist.
  [[nodiscard]] Result<std::map<std::string, std::string>> labels() const;
  // How it was made, from the top layer down.
  [[nodiscard]] Result<std::vector<ImageHistoryEntry>> history() const;
  // Whether there was something to remove. kWrongState when it is in use and not forced.
  Result<bool> remove(Force force = Force::kNo) const;

  // The same engine and the same reference.
  friend bool operator==(const Image& a, const Image& b) {
    return a.backend_ == b.backend_ && a.ref_ == b.ref_;
  }

 private:
  std::shared_ptr<Backend> backend_;
  std::string ref_;
};

// One container, by its name. Of a container that does not exist every question gets an empty
// answer.
class TRIVET_API Container {
 public:
  // A handle; Runtime::container() makes one more easily.
  Container(std::shared_ptr<Backend> backend, std::string name)
      : backend_(std::move(backend)), name_(std::move(name)) {}

  // As the handle was made with.
  [[nodiscard]] const std::string& name() const { return name_; }

  // All that is known, by one question.
  [[nodiscard]] Result<std::optional<ContainerInfo>> info(RwSize rw_size = RwSize::kSkip) const;
  // What it does at this moment.
  [[nodiscard]] Result<std::optional<ContainerStatus>> state() const;
  // Absent: false. A paused container is not running.
  [[nodiscard]] Result<bool> running() const;
  // What it was made from; nothing when that was a directory.
  [[nodiscard]] Result<std::optional<Image>> image() const;
  // Bytes of its writable layer; nothing where that is a microVM's own disk.
  [[nodiscard]] Result<std::optional<uint64_t>> rw_size() const;

  // Running already is fine. kNotFound.
  Result<> start() const;
  // Asks it to end, kills it after `timeout`, and returns when it has ended. Not running, or being
  // absent, is fine.
  Result<> stop(std::chrono::seconds timeout = std::chrono::seconds(10)) const;
  // Until it has ended for good: its exit code; nothing when it is absent, or is removed meanwhile.
  // kTimeout when `timeout` passed first, kCanceled when a stop was requested; kWrongState when it
  // was never started.
  Result<std::optional<int>> wait(std::optional<std::chrono::milliseconds> timeout = {},
                                  std::stop_token stop = {}) const;
  // With everything it has; whether there was something to remove.
  Result<bool> remove(Force force = Force::kNo) const;

  // A file or directory of this host into the container, whether it runs or not, by the rules of
  // `docker cp`: into an existing directory under its own name, else as `destination`. kNotFound;
  // kWrongState for a microVM that does not run: only its own kernel reads its disk.
  Result<> copy_in(const std::filesystem::path& source, const std::string& destination) const;

  // What to execute, in a terminal, for an interactive session in the container: a program of this
  // host and its arguments. Nothing is run, nor looked at. kInvalidArgument for an empty argv.
  [[nodiscard]] Result<std::vector<std::string>> login_command(
      const std::vector<std::string>& argv = {"/bin/sh"}) const;

  // The log, from the beginning or the last `tail` lines; with `follow` until the container has
  // ended, the options' stop is requested, or the stream goes. Absent: a log without lines.
  [[nodiscard]] Result<LogStream> logs(const LogOptions& options = {}) const;
  // Follows the log from its beginning and hands each line to `ready_check` until that says true:
  // then true. False when `timeout` passed, a stop was requested, or the container ended before.
  Result<bool> stream_initial_logs(const std::function<bool(const LogLine&)>& ready_check,
                                   std::chrono::milliseconds timeout,
                                   std::stop_token stop = {}) const;

  // The same engine and the same name.
  friend bool operator==(const Container& a, const Container& b) {
    return a.backend_ == b.backend_ && a.name_ == b.name_;
  }

 private:
  std::shared_ptr<Backend> backend_;
  std::string name_;
};

// Which engine Runtime::open() takes.
//
// A program that names none does what its user has configured, as the command line does. From weak
// to strong: native, config.yml, project.yml (which may only isolate more), TRIVET_RUNTIME; then
// what an image is made for; then RunOptions::isolation. The same files say whether microVMs are
// allowed, and what `engine` leaves at its default: directories, registries, limits of images.
// Nothing else is taken from them: limits of containers are those of their RunOptions, which
// default_run_options() (trivet/config.h) begins with those of the user. A program that must not
// depend on its user's configuration says so by a name: with one, no file is read, nor is
// TRIVET_RUNTIME.
struct RuntimeOptions {
  // "native", "microvm" or "wasm": trivet itself, with this isolation for containers whose options
  // name none. "podman": podman's containers, see PodmanRuntime. "null": nothing runs, see
  // NullRuntime. "crun" and "krun" are other names of "native" and "microvm". Empty: as it is
  // configured, see above; "podman" is none that can be.
  std::string runtime;
  EngineOptions engine;  // where trivet's containers and images are
};

// A container engine: where handles come from, and what concerns several containers.
class TRIVET_API Runtime {
 public:
  // kInvalidArgument for a runtime that is not known; the hint lists those that are. Where none is
  // named also for whatever is wrong with the configuration, with the file and line.
  static Result<Runtime> open(const RuntimeOptions& options = {});
  // Over an engine of one's own, or a NullRuntime. Never null.
  explicit Runtime(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

  // The engine's: "native", "null".
  [[nodiscard]] std::string_view name() const { return backend_->name(); }
  // The engine itself.
  [[nodiscard]] Backend& backend() const { return *backend_; }

  // Handles. That they exist is not looked at.
  [[nodiscard]] Container container(std::string name) const { return {backend_, std::move(name)}; }
  // The same for an image, by a reference or an id.
  [[nodiscard]] Image image(std::string ref) const { return {backend_, std::move(ref)}; }

  // Those whose names begin with "PREFIX-", in whatever state, newest first.
  [[nodiscard]] Result<std::vector<Container>> containers_with_prefix(
      const std::string& prefix) const;
  // States, images and sizes of many, by one question.
  [[nodiscard]] Result<std::vector<ContainerInfo>> list(const ContainerQuery& query = {}) const;
  // One for each name, and one for each image without a name; or these alone.
  [[nodiscard]] Result<std::vector<Image>> images(bool dangling_only = false) const;

  // Makes a container; run() starts it, too, and returns when its program runs. Nothing is left of
  // one that could not be started. `options.detach` is of no meaning: its streams go to its log.
  Result<Container> create(const RunOptions& options) const;
  // The same, and started.
  Result<Container> run(const RunOptions& options) const;

  // Runs a command in a running container and collects what it prints. Any exit code is a result.
  // Errors: kNotFound, kWrongState (it does not run), kCommandNotFound, kCommandNotExecutable, and
  // those of ExecCommand.
  Result<ExecResult> exec(const Container& container, std::vector<std::string> argv,
                          std::optional<std::chrono::milliseconds> timeout = {}) const;
  // The same with an environment, a user, a directory, a limit of output, a stop token.
  Result<ExecResult> exec(const Container& container, const ExecCommand& command) const;
  // The same with bytes streamed both ways while it runs; its exit code. All it has printed has
  // been delivered by then. What it left in the background and still holds the pipes is waited for
  // no longer than two seconds.
  Result<int> exec_stdio(const Container& container, const ExecCommand& command,
                         const ExecStdio& stdio) const;

  // Removes each, running or not, and goes on when one can't be removed: one result for each, in
  // their order. What does not exist counts as removed.
  [[nodiscard]] std::vector<RemoveResult> force_remove(
      const std::vector<Container>& containers) const;

  // A free TCP port of `host` (an address of this host, or "localhost"), held until it is closed.
  [[nodiscard]] Result<ReservedPort> reserve_port(const std::string& host = "127.0.0.1") const {
    return backend_->reserve_port(host);
  }

 private:
  std::shared_ptr<Backend> backend_;
};

}  // namespace trivet
