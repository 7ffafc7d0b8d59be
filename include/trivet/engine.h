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
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/exec.h"
#include "trivet/export.h"
#include "trivet/pod.h"
#include "trivet/result.h"
#include "trivet/spare_process.h"
#include "trivet/types.h"

namespace trivet {

// Where an Engine has its things. Engines with the same directories see the same containers.
struct EngineOptions {
  std::string data_dir;          // empty: TRIVET_DATA_DIR, /var/lib/trivet or ~/.local/share/trivet
  std::string state_dir;         // empty: TRIVET_STATE_DIR, /run/trivet or $XDG_RUNTIME_DIR/trivet
  size_t max_containers = 1024;  // one more is kLimitExceeded
  ImageLimits images;            // of those that are pulled and imported from now on
  std::vector<RegistrySettings> registries;  // those about which there is something to say
  std::shared_ptr<SpareProcess> spare;       // becomes a monitor; null: each one is executed
};

// Everything that trivet can do on this host. A call that names something that is not there is
// kNotFound, one that does not fit its state is kWrongState; both have done nothing.
class TRIVET_API Engine {
 public:
  // Makes the directories where they are missing, and finishes what a crash has interrupted.
  // Programs that the library starts, such as trivet-monitor, are looked for beside the caller's
  // own program, in libexec/trivet of the prefix of that or of libtrivet.so, and where trivet was
  // configured to be installed; TRIVET_LIBEXEC_DIR, if it is set, is the only place.
  static Result<Engine> open(const EngineOptions& options = {});
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // What was moved from may only be assigned to or destroyed.
  Engine(Engine&&) noexcept;
  // As above.
  Engine& operator=(Engine&&) noexcept;
  // Leaves all containers as they are.
  ~Engine();

  // --- containers. `name` is a name, an id or a unique prefix of an id everywhere.

  // What became of run().
  struct RunResult {
    std::string id;         // 64 hex digits
    bool detached = false;  // the container goes on
    int exit_code = 0;      // otherwise: the program's own, 128+N after signal N
  };
  // Creates and starts. With options.detach it returns the id as soon as the program runs;
  // otherwise it connects the caller's stdin, stdout, stderr until the container ends (or is
  // detached from). When it can't be started nothing is left of it.
  Result<RunResult> run(const RunOptions& options);
  // The id of a container that is not started. options.detach and options.interactive don't matter.
  Result<std::string> create(const RunOptions& options);
  // Returns as soon as the program runs, in the background. One that runs already is fine.
  Result<> start(std::string_view name);
  // Starts with the caller's streams connected from the first byte on; attaches when it runs
  // already.
  Result<AttachResult> start_attached(std::string_view name, const AttachOptions& options);
  // Connects the caller's streams until the container ends or is detached from.
  Result<AttachResult> attach(std::string_view name, const AttachOptions& options);
  // Sends the stop signal and, after the grace (none: the container's stop_timeout), SIGKILL;
  // returns when it has ended. Not running is fine.
  Result<> stop(std::string_view name, std::optional<std::chrono::seconds> grace = {});
  // Sends a signal, by its number, to the container's program.
  Result<> kill(std::string_view name, int signal);
  // stop() and start().
  Result<> restart(std::string_view name, std::optional<std::chrono::seconds> grace = {});
  // Freezes all its processes.
  Result<> pause(std::string_view name);
  // Lets them go on.
  Result<> unpause(std::string_view name);
  // Removes it with all it has; `volumes`: with its anonymous volumes. A running one is kWrongState
  // unless forced: then it is killed.
  Result<> remove(std::string_view name, bool force, bool volumes = false);
  // kAlreadyExists when another one has the name.
  Result<> rename(std::string_view name, const std::string& new_name);
  // The exit code; kTimeout when the deadline passed, kCanceled when the stop was requested first.
  Result<int> wait(std::string_view name, std::optional<std::chrono::milliseconds> timeout = {},
                   const std::stop_token& stop = {});
  // Executes a command in a running container and connects the caller's streams; the exit code is
  // the command's. Detached: 0.
  Result<AttachResult> exec(std::string_view name, const ExecOptions& options);
  // The same over streams that the caller names, with a deadline; the exit code of the command.
  Result<int> exec_stdio(std::string_view name, const ExecCommand& command, const ExecStdio& stdio);
  // Hands every line that is wanted to `sink`, in the caller's thread.
  Result<> logs(std::string_view name, const LogOptions& options,
                const std::function<void(const LogLine&)>& sink);
  // The running ones, or all; the newest first. `with_size` reads all files that they have written.
  Result<std::vector<ContainerInfo>> list(bool all, bool with_size = false);
  // One container.
  Result<ContainerInfo> find(std::string_view name, bool with_size = false);
  // Everything known, as JSON: the document of `trivet inspect`.
  Result<std::string> inspect(std::string_view name, bool with_size = false);
  // What it uses at this moment; kWrongState when it does not run.
  Result<ContainerStats> stats(std::string_view name);
  // `ps` of the container's processes with host pids: a header and rows.
  Result<std::vector<std::vector<std::string>>> top(std::string_view name,
                                                    const std::vector<std::string>& ps_options);
  // Copies `path` of the container (running or not) to the host, as `docker cp` does; a path of "-"
  // on the host is a tar stream of the caller's stdout.
  Result<> copy_out(std::string_view name, const std::string& path, const std::string& host_path);
  // The other way; "-" is a tar stream of the caller's stdin.
  Result<> copy_in(std::string_view name, const std::string& host_path, const std::string& path);
  // Removes stopped containers and whatever dead monitors, crashes or kills left behind.
  Result<PruneResult> prune();

  // --- images. `name` is a name, an id or a unique prefix of an id.

  // Fetches an image from its registry, whole or not at all. kNotFound, kUnauthorized and kNetwork
  // are the registry's answers; kDigestMismatch: it sent something else than it promised.
  Result<ImageInfo> pull(const std::string& reference, const TransferOptions& options);
  // Sends an image to a registry, under the name `destination`; empty: its own.
  Result<> push(const std::string& image, const std::string& destination,
                const TransferOptions& options);
  // All of them.
  Result<std::vector<ImageInfo>> images();
  // One.
  Result<ImageInfo> image(std::string_view name);
  // The steps by which one was made, the newest first.
  Result<std::vector<ImageHistoryEntry>> image_history(std::string_view name);
  // Everything known, as JSON: the document of `trivet image inspect`.
  Result<std::string> inspect_image(std::string_view name);
  // Gives it another name, which is taken from the image that had it.
  Result<> tag(std::string_view image, const std::string& new_name);
  // Removes the name and, with the last one, the image. What happened, a line each: "Untagged: …",
  // "Deleted: …". kWrongState when a container uses it; `force` removes the name then, not the
  // image.
  Result<std::vector<std::string>> remove_image(std::string_view name, bool force);
  // Removes the images without a name; `all`: those that no container uses.
  Result<PruneResult> prune_images(bool all);
  // Reads images from an archive (OCI's or Docker's), a layout, a file system as tar or a
  // directory. `name` is for the only one; empty: those of the archive.
  Result<std::vector<ImageInfo>> import_image(const std::string& path, const std::string& name);
  // Writes a tar file. `format` is "oci-archive" (also when it is empty) or "docker-archive".
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
  // One pod with its containers.
  Result<PodInfo> pod_status(std::string_view name);
  // All of them.
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

  // All of them.
  Result<std::vector<VolumeInfo>> volumes();
  // The name of an empty volume; an empty `name` makes one up. kAlreadyExists when it is there.
  Result<std::string> create_volume(const std::string& name);
  // kWrongState when containers use it; `force` makes a missing one fine.
  Result<> remove_volume(const std::string& name, bool force);
  // Removes every volume that no container uses, named ones too.
  Result<PruneResult> prune_volumes();

  // --- microVMs: what they are made of on this host

  // Finds or fetches a kernel for guests, and makes it the current one.
  Result<VmSetup> setup_vm(const VmSetupOptions& options);
  // All kernels, the current one first.
  Result<std::vector<VmKernelInfo>> vm_kernels();
  // By id, unique prefix of it, or release.
  Result<> remove_vm_kernel(std::string_view name);
  // The document of `trivet vm info`, as JSON.
  Result<std::string> vm_info();

  // --- the host

  // Versions, directories, cgroups, kernel features, counts, as JSON: the document of `trivet
  // info`.
  Result<std::string> info();

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trivet
