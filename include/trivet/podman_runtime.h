// Podman's containers behind trivet::Runtime (trivet/runtime.h): Runtime::open({.runtime =
// "podman"}), or, with options, Runtime(*PodmanRuntime::open(options)).
//
// Each call runs the podman program, which finds its store, registries and networks as it does for
// the calling user. Podman 4 and newer are known to work. Nothing is kept between calls: what
// others do with podman is seen.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/backend.h"
#include "trivet/export.h"

namespace trivet {

namespace backend {
class PodmanCli;
}

// Which podman, and with which settings.
struct PodmanOptions {
  std::string program = "podman";  // found by PATH, or a path
  // In front of each command, such as "--root=/srv/podman", "--cgroup-manager=cgroupfs".
  std::vector<std::string> arguments;
};

// Its calls are given between 5 and 120 seconds, by what they do; then podman is killed, and they
// fail with kTimeout, and whether podman had done it is open. Only commands, waits and followed
// logs last as long as the caller says. Besides the errors of Backend: kUnsupported when there is
// no podman, or for options that podman has nothing for; kCorrupt when it prints what can't be
// understood.
//
// Of ContainerInfo podman does not tell isolation, oom_killed, error and monitor_pid.
class TRIVET_API PodmanRuntime final : public Backend {
 public:
  // Asks podman for its version: kUnsupported when there is none that can be used.
  static Result<std::shared_ptr<PodmanRuntime>> open(PodmanOptions options = {});
  ~PodmanRuntime() override;

  // "podman".
  [[nodiscard]] std::string_view name() const override { return "podman"; }

  // An isolation other than "native" is kUnsupported, and so is whatever else only trivet has.
  // Network "pasta", trivet's default, is podman's own default. log_max_files and on_warning are
  // of no meaning; after `timeout` podman kills the container, which gives another exit code.
  Result<std::string> create(const RunOptions& options) override;
  // By create() and start().
  Result<std::string> run(const RunOptions& options) override;
  // See Backend.
  Result<> start(const std::string& container) override;
  // See Backend.
  Result<> stop(const std::string& container, std::chrono::seconds grace) override;
  // See Backend.
  Result<int> wait(const std::string& container, std::optional<std::chrono::milliseconds> timeout,
                   std::stop_token stop) override;
  // With its anonymous volumes.
  Result<> remove(const std::string& container, Force force) override;
  // See Backend.
  Result<ContainerInfo> find(const std::string& container, RwSize rw_size) override;
  // By one `podman ps`.
  Result<std::vector<ContainerInfo>> list(const ContainerQuery& query) override;
  // By `podman cp`.
  Result<> copy_in(const std::string& container, const std::filesystem::path& source,
                   const std::string& destination) override;
  // A command that has to be ended is found by TRIVET_EXEC_ID in its environment, among the
  // processes of this host that the caller may look at. What podman has to say of a command that it
  // can't run also comes to the command's stderr.
  Result<int> exec(const std::string& container, const ExecCommand& command,
                   const ExecStdio& stdio) override;
  // `podman exec -it`.
  Result<std::vector<std::string>> login_command(const std::string& container,
                                                 const std::vector<std::string>& argv) override;
  // By `podman logs`.
  Result<std::unique_ptr<LogSource>> logs(const std::string& container,
                                          const LogOptions& options) override;

  // See Backend.
  Result<ImageInfo> find_image(const std::string& image) override;
  // Without os and architecture, of which podman's list tells nothing.
  Result<std::vector<ImageInfo>> list_images() override;
  // See Backend.
  Result<std::vector<ImageHistoryEntry>> image_history(const std::string& image) override;
  // See Backend.
  Result<> remove_image(const std::string& image, Force force) override;

 private:
  explicit PodmanRuntime(std::shared_ptr<const backend::PodmanCli> cli);
  Result<std::string> exact(const std::string& container);

  std::shared_ptr<const backend::PodmanCli> cli_;  // logs may outlive this object
};

}  // namespace trivet
