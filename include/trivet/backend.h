// What is behind a trivet::Runtime (trivet/runtime.h): the interface that each container engine
// implements. Whoever uses containers needs only Runtime; this is for who brings another engine, or
// a test double that trivet::NullRuntime (trivet/null_runtime.h) can't be.
//
// The rules of all implementations:
// - Every function may be called from several threads at once.
// - A container or image that does not exist is kNotFound, everywhere. The handles of Runtime make
//   empty results of that; implementations don't.
// - Nothing is printed, and nothing throws.
// - What blocks ends by itself, has a deadline, or ends when a stop is requested. Zero or negative
//   timeouts have passed already: the state is looked at once.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/exec.h"
#include "trivet/export.h"
#include "trivet/reserved_port.h"
#include "trivet/result.h"
#include "trivet/types.h"

namespace trivet {

// Measuring the writable layer of a container reads all its directories.
enum class RwSize { kSkip, kMeasure };
// kYes also removes what runs or is in use.
enum class Force { kNo, kYes };

// Which containers a list has, in whatever state. An empty query means all.
struct TRIVET_API ContainerQuery {
  std::string prefix;              // those whose names begin with "PREFIX-"
  std::vector<std::string> names;  // these; what does not exist is left out
  RwSize rw_size = RwSize::kSkip;  // whether writable layers are measured

  // Whether a container of this name belongs to the list.
  [[nodiscard]] bool matches(std::string_view name) const;
};

// The lines of a container's log, one after the other.
class TRIVET_API LogSource {
 public:
  LogSource() = default;
  LogSource(const LogSource&) = delete;
  LogSource& operator=(const LogSource&) = delete;
  LogSource(LogSource&&) = delete;
  LogSource& operator=(LogSource&&) = delete;
  virtual ~LogSource() = default;  // may be called while the log is still followed

  // The next line; nothing at the end of the log, and once the LogOptions' stop was requested.
  // kTimeout when none came before the deadline: it may be called again. One thread at a time.
  virtual Result<std::optional<LogLine>> next(
      std::optional<std::chrono::steady_clock::time_point> deadline) = 0;
};

// An engine of containers. See the rules at the head of this file.
class TRIVET_API Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  Backend(Backend&&) = delete;
  Backend& operator=(Backend&&) = delete;
  virtual ~Backend() = default;

  // As Runtime::open() knows it: "native", "null".
  [[nodiscard]] virtual std::string_view name() const = 0;

  // --- containers. `container` is a name or an id.

  // Makes a container that is not started; its name. kAlreadyExists when the name is taken.
  // `options.detach` is of no meaning.
  virtual Result<std::string> create(const RunOptions& options) = 0;
  // Makes and starts one, and returns when its program runs; its name. Nothing is left of one that
  // could not be started.
  virtual Result<std::string> run(const RunOptions& options) = 0;
  // Running already is fine.
  virtual Result<> start(const std::string& container) = 0;
  // The stop signal, after `grace` SIGKILL; returns when it has ended. Not running is fine.
  virtual Result<> stop(const std::string& container, std::chrono::seconds grace) = 0;
  // Until it has ended for good; its exit code. kTimeout, kCanceled; kWrongState when it was never
  // started.
  virtual Result<int> wait(const std::string& container,
                           std::optional<std::chrono::milliseconds> timeout,
                           std::stop_token stop) = 0;
  // kWrongState when it runs and `force` is kNo.
  virtual Result<> remove(const std::string& container, Force force) = 0;
  // All that is known of one; kNotFound.
  virtual Result<ContainerInfo> find(const std::string& container, RwSize rw_size) = 0;
  // By one question to the engine, however many there are. Newest first.
  virtual Result<std::vector<ContainerInfo>> list(const ContainerQuery& query) = 0;
  // A file or directory of this host into a container, whether it runs or not; the rules are those
  // of `docker cp`.
  virtual Result<> copy_in(const std::string& container, const std::filesystem::path& source,
                           const std::string& destination) = 0;
  // The exit code of a command that was run to its end: see ExecCommand. kWrongState when the
  // container does not run; kCommandNotFound, kCommandNotExecutable.
  virtual Result<int> exec(const std::string& container, const ExecCommand& command,
                           const ExecStdio& stdio) = 0;
  // The program and arguments that, executed with the caller's terminal, give an interactive
  // session of `argv` in the container. Whether the container exists is not looked at.
  virtual Result<std::vector<std::string>> login_command(const std::string& container,
                                                         const std::vector<std::string>& argv) = 0;
  // Without `options.follow` what there is now.
  virtual Result<std::unique_ptr<LogSource>> logs(const std::string& container,
                                                  const LogOptions& options) = 0;

  // --- images. `image` is a reference ("alpine", "docker.io/library/alpine:3"), an id
  // ("sha256:…") or a unique prefix of one.

  virtual Result<ImageInfo> find_image(const std::string& image) = 0;
  // All images, the dangling ones too.
  virtual Result<std::vector<ImageInfo>> list_images() = 0;
  // The newest step first.
  virtual Result<std::vector<ImageHistoryEntry>> image_history(const std::string& image) = 0;
  // A reference: this name, and the image with its last one. kWrongState when it is in use and
  // `force` is kNo.
  virtual Result<> remove_image(const std::string& image, Force force) = 0;

  // --- the host

  // ReservedPort::reserve(), for engines on this host.
  virtual Result<ReservedPort> reserve_port(const std::string& host) {
    return ReservedPort::reserve(host);
  }
};

}  // namespace trivet
