// libtrivet: containers, pods and images as a library. The trivet program is written on it.
//
// All functions may block on the disk or on processes; those that can take long have a deadline.
// Nothing is printed. No global state: an Engine is a handle on one data and one state directory,
// may be used from several threads, and sees what other processes do.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/pod.h"
#include "trivet/result.h"
#include "trivet/types.h"

namespace trivet {

struct EngineOptions {
  std::string data_dir;   // empty: TRIVET_DATA_DIR, /var/lib/trivet or ~/.local/share/trivet
  std::string state_dir;  // empty: TRIVET_STATE_DIR, /run/trivet or $XDG_RUNTIME_DIR/trivet
  size_t max_containers = 1024;
};

class Engine {
 public:
  static Result<Engine> open(const EngineOptions& options = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  // --- containers. `name` is a name, an id or a unique prefix of an id everywhere.

  // Creates and starts. With options.detach it returns the id as soon as the program runs;
  // otherwise it connects the caller's stdin, stdout, stderr until the container ends (or is
  // detached from).
  struct RunResult {
    std::string id;
    bool detached = false;
    int exit_code = 0;
  };
  Result<RunResult> run(const RunOptions& options);
  Result<std::string> create(const RunOptions& options);  // not started
  Result<> start(std::string_view name);
  // Starts with the caller's streams connected from the first byte on; attaches when it runs
  // already.
  Result<AttachResult> start_attached(std::string_view name, const AttachOptions& options);
  Result<AttachResult> attach(std::string_view name, const AttachOptions& options);
  Result<> stop(std::string_view name, std::optional<std::chrono::seconds> grace = {});
  Result<> kill(std::string_view name, int signal);
  Result<> restart(std::string_view name, std::optional<std::chrono::seconds> grace = {});
  Result<> pause(std::string_view name);
  Result<> unpause(std::string_view name);
  Result<> remove(std::string_view name, bool force, bool volumes = false);
  Result<> rename(std::string_view name, const std::string& new_name);
  // The exit code; kTimeout when the deadline passed first.
  Result<int> wait(std::string_view name, std::optional<std::chrono::milliseconds> timeout = {});
  // Connects the caller's streams; the exit code of the command. Detached: 0.
  Result<AttachResult> exec(std::string_view name, const ExecOptions& options);
  Result<> logs(std::string_view name, const LogOptions& options,
                const std::function<void(const LogLine&)>& sink);
  Result<std::vector<ContainerInfo>> list(bool all, bool with_size = false);
  Result<ContainerInfo> find(std::string_view name, bool with_size = false);
  // Everything known, as JSON: the document of `trivet inspect`.
  Result<std::string> inspect(std::string_view name, bool with_size = false);
  Result<ContainerStats> stats(std::string_view name);
  // `ps` of the container's processes with host pids: a header and rows.
  Result<std::vector<std::vector<std::string>>> top(std::string_view name,
                                                    const std::vector<std::string>& ps_options);
  // A tar stream of `path` inside the container (running or not), or into it. SOURCE semantics of
  // `docker cp`.
  Result<> copy_out(std::string_view name, const std::string& path, const std::string& host_path);
  Result<> copy_in(std::string_view name, const std::string& host_path, const std::string& path);
  // Stopped containers and whatever dead monitors, crashes or kills left behind.
  Result<PruneResult> prune();

  // --- images
  Result<ImageInfo> pull(const std::string& reference, const TransferOptions& options);
  Result<> push(const std::string& image, const std::string& destination,
                const TransferOptions& options);
  Result<std::vector<ImageInfo>> images();
  Result<ImageInfo> image(std::string_view name);
  Result<std::string> inspect_image(std::string_view name);  // JSON
  Result<> tag(std::string_view image, const std::string& new_name);
  Result<std::vector<std::string>> remove_image(std::string_view name, bool force);
  Result<PruneResult> prune_images(bool all);
  Result<std::vector<ImageInfo>> import_image(const std::string& path, const std::string& name);
  // `format` "oci-archive" or "docker-archive".
  Result<> save_image(std::string_view image, const std::string& path, const std::string& format);
  // A native OCI runtime bundle: rootfs/ and config.json.
  Result<> write_bundle(std::string_view image, const std::string& directory);

  // --- pods. `name` is a name, an id or a unique prefix of an id.

  // From a Kubernetes Pod manifest (YAML or JSON). Ends with every container running (init
  // containers ended, startup and readiness probes passed), or with an error and nothing left: then
  // the error's notes are the last lines that the containers have said.
  Result<PodInfo> run_pod(const std::string& manifest, const PodOptions& options);
  // Nothing: the manifest's terminationGracePeriodSeconds. Not running is fine.
  Result<> stop_pod(std::string_view name, std::optional<std::chrono::seconds> grace = {});
  // With everything it has. A running one is kWrongState unless forced.
  Result<> delete_pod(std::string_view name, bool force);
  Result<PodInfo> pod_status(std::string_view name);
  Result<std::vector<PodInfo>> list_pods();
  // Everything known, as JSON: the document of `trivet pod inspect`.
  Result<std::string> inspect_pod(std::string_view name);
  // Until it has ended: 0 when all its containers have ended well, else the exit code of the first
  // that has not. kTimeout when the deadline passed first.
  Result<int> wait_pod(std::string_view name,
                       std::optional<std::chrono::milliseconds> timeout = {});
  // The id of one container of a pod, for logs(), exec(), stats() and the like. `container` empty:
  // its only main container; kInvalidArgument with their names when there are several.
  Result<std::string> pod_container(std::string_view pod, std::string_view container);

  // --- volumes
  Result<std::vector<VolumeInfo>> volumes();
  Result<std::string> create_volume(const std::string& name);
  Result<> remove_volume(const std::string& name, bool force);
  Result<PruneResult> prune_volumes();

  // --- microVMs: what they are made of on this host
  Result<VmSetup> setup_vm(const VmSetupOptions& options);
  Result<std::vector<VmKernelInfo>> vm_kernels();  // the current one first
  // By id, unique prefix of it, or release.
  Result<> remove_vm_kernel(std::string_view name);
  Result<std::string> vm_info();  // JSON

  // --- the host: versions, directories, cgroups, kernel features, counts, as JSON
  Result<std::string> info();

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trivet
