// The public class: each call finds what it names and hands over to the part that knows.
#include "trivet/engine.h"

#include <mutex>

#include "base/fs.h"
#include "image/bundle.h"
#include "monitor/control.h"
#include "monitor/log_file.h"
#include "runtime/copy.h"
#include "runtime/create.h"
#include "runtime/exec.h"
#include "runtime/home.h"
#include "runtime/images.h"
#include "runtime/info.h"
#include "runtime/lifecycle.h"
#include "runtime/names.h"
#include "runtime/observe.h"
#include "runtime/open_home.h"
#include "runtime/pod.h"
#include "runtime/prune.h"
#include "runtime/vm.h"
#include "runtime/volumes.h"

namespace trivet {

struct Engine::State {
  runtime::Home home;
  std::mutex mutex;                                                  // of `samples`
  std::map<std::string, std::optional<runtime::CpuSample>> samples;  // by container id
};

const char* container_status_name(ContainerStatus status) {
  switch (status) {
    case ContainerStatus::kCreated:
      return "created";
    case ContainerStatus::kRunning:
      return "running";
    case ContainerStatus::kPaused:
      return "paused";
    case ContainerStatus::kStopped:
      return "stopped";
    case ContainerStatus::kRestarting:
      return "restarting";
    case ContainerStatus::kBroken:
      return "broken";
  }
  return "broken";
}

Engine::Engine(std::unique_ptr<State> state) : state_(std::move(state)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

namespace {

std::optional<std::chrono::milliseconds> in_milliseconds(
    std::optional<std::chrono::seconds> seconds) {
  if (!seconds) return std::nullopt;
  return std::chrono::milliseconds(*seconds);
}

runtime::WithSize size_wanted(bool with_size) {
  return with_size ? runtime::WithSize::kYes : runtime::WithSize::kNo;
}

}  // namespace

Result<Engine> Engine::open(const EngineOptions& options) {
  return Engine(std::make_unique<State>(TRY(runtime::open_home(options))));
}

Result<Engine::RunResult> Engine::run(const RunOptions& options) {
  return runtime::run_container(state_->home, options);
}

Result<std::string> Engine::create(const RunOptions& options) {
  const auto when = runtime::ResolveJoins::kAtStart;
  return TRY(runtime::create_container(state_->home, options, when, runtime::make_id()))
  .id;
}

Result<> Engine::start(std::string_view name) {
  return runtime::start_container(state_->home, TRY(runtime::observe_named(state_->home, name)));
}

Result<AttachResult> Engine::start_attached(std::string_view name, const AttachOptions& options) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::start_attached(state_->home, observed, options);
}

Result<AttachResult> Engine::attach(std::string_view name, const AttachOptions& options) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::attach_container(state_->home, observed, options);
}

Result<> Engine::stop(std::string_view name, std::optional<std::chrono::seconds> grace) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::stop_container(state_->home, observed, in_milliseconds(grace), 0);
}

Result<> Engine::kill(std::string_view name, int signal) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::kill_container(state_->home, observed, signal);
}

Result<> Engine::restart(std::string_view name, std::optional<std::chrono::seconds> grace) {
  const std::string id = TRY(runtime::find_id(state_->home, name));
  TRY(runtime::require_podless(TRY(runtime::observe(state_->home, id)), "restarted"));
  TRY(stop(id, grace));
  TRY(runtime::wait_for_monitor_end(state_->home, id));
  return start(id);
}

Result<> Engine::pause(std::string_view name) {
  return runtime::pause_container(state_->home, TRY(runtime::observe_named(state_->home, name)));
}

Result<> Engine::unpause(std::string_view name) {
  return runtime::unpause_container(state_->home, TRY(runtime::observe_named(state_->home, name)));
}

Result<> Engine::remove(std::string_view name, bool force, bool volumes) {
  return runtime::remove_container(state_->home, name, force, volumes);
}

Result<> Engine::rename(std::string_view name, const std::string& new_name) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::rename_container(state_->home, observed, new_name);
}

Result<int> Engine::wait(std::string_view name, std::optional<std::chrono::milliseconds> timeout,
                         const std::stop_token& stop) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::wait_container(state_->home, observed, timeout, stop);
}

Result<AttachResult> Engine::exec(std::string_view name, const ExecOptions& options) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::exec_in_container(state_->home, observed, options);
}

Result<int> Engine::exec_stdio(std::string_view name, const ExecCommand& command,
                               const ExecStdio& stdio) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::exec_over_streams(state_->home, observed, command, stdio);
}

Result<> Engine::logs(std::string_view name, const LogOptions& options,
                      const std::function<void(const LogLine&)>& sink) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  const monitor::Directories& directories = state_->home.directories;
  const std::string& id = observed.record.id;
  UniqueFd end;
  if (options.follow && observed.monitor_alive) {
    // A monitor that has just ended leaves a log that is complete.
    if (auto watch = monitor::watch_container(directories, id)) end = std::move(*watch);
  }
  const monitor::LogQuery query{.tail = options.tail,
                                .since = options.since,
                                .until = options.until,
                                .follow = options.follow && end.valid(),
                                .end_fd = end.get(),
                                .stop = options.stop};
  return monitor::read_logs(
      directories.container(id) + "/logs", query, [&sink](const monitor::LogLine& line) {
        const bool error = line.stream == monitor::Stream::kStderr;
        sink({.time = line.time,
              .stream = error ? LogLine::Stream::kStderr : LogLine::Stream::kStdout,
              .text = line.text,
              .partial = line.partial});
      });
}

Result<std::vector<ContainerInfo>> Engine::list(bool all, bool with_size) {
  return runtime::list_containers(state_->home, all, size_wanted(with_size));
}

Result<ContainerInfo> Engine::find(std::string_view name, bool with_size) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::describe_container(state_->home, observed, size_wanted(with_size));
}

Result<std::string> Engine::inspect(std::string_view name, bool with_size) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::inspect_container(state_->home, observed, size_wanted(with_size));
}

Result<ContainerStats> Engine::stats(std::string_view name) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  const std::lock_guard lock(state_->mutex);
  return runtime::container_stats(state_->home, observed, state_->samples[observed.record.id]);
}

Result<std::vector<std::vector<std::string>>> Engine::top(
    std::string_view name, const std::vector<std::string>& ps_options) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::container_top(state_->home, observed, ps_options);
}

Result<> Engine::copy_out(std::string_view name, const std::string& path,
                          const std::string& host_path) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::copy_out(state_->home, observed, path, host_path);
}

Result<> Engine::copy_in(std::string_view name, const std::string& host_path,
                         const std::string& path) {
  const auto observed = TRY(runtime::observe_named(state_->home, name));
  return runtime::copy_in(state_->home, observed, host_path, path);
}

Result<PruneResult> Engine::prune() {
  return runtime::prune_containers(state_->home);
}

Result<ImageInfo> Engine::pull(const std::string& reference, const TransferOptions& options) {
  const auto parsed = TRY(image::parse_reference(reference));
  return runtime::describe_image(TRY(runtime::pull_image(state_->home, parsed, options)));
}

Result<> Engine::push(const std::string& image, const std::string& destination,
                      const TransferOptions& options) {
  return runtime::push_image(state_->home, image, destination, options);
}

Result<std::vector<ImageInfo>> Engine::images() {
  std::vector<ImageInfo> list;
  for (const image::Image& image : TRY(state_->home.store.list())) {
    list.push_back(runtime::describe_image(image));
  }
  return list;
}

Result<ImageInfo> Engine::image(std::string_view name) {
  return runtime::describe_image(TRY(state_->home.store.find(name)));
}

Result<std::vector<ImageHistoryEntry>> Engine::image_history(std::string_view name) {
  return runtime::image_history(TRY(state_->home.store.find(name)));
}

Result<std::string> Engine::inspect_image(std::string_view name) {
  return runtime::inspect_image(TRY(state_->home.store.find(name)));
}

Result<> Engine::tag(std::string_view image, const std::string& new_name) {
  const auto reference = TRY(image::parse_reference(new_name));
  return state_->home.store.tag(image, reference);
}

Result<std::vector<std::string>> Engine::remove_image(std::string_view name, bool force) {
  return runtime::remove_image(state_->home, name, force);
}

Result<PruneResult> Engine::prune_images(bool all) {
  return runtime::prune_images(state_->home, all);
}

Result<std::vector<ImageInfo>> Engine::import_image(const std::string& path,
                                                    const std::string& name) {
  std::optional<image::Reference> reference;
  if (!name.empty()) reference = TRY(image::parse_reference(name));
  std::vector<ImageInfo> list;
  for (const image::Image& image : TRY(state_->home.store.import(path, reference))) {
    list.push_back(runtime::describe_image(image));
  }
  return list;
}

Result<> Engine::save_image(std::string_view image, const std::string& path,
                            const std::string& format) {
  if (format != "oci-archive" && format != "docker-archive" && !format.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "unknown format \"{}\": it is oci-archive or docker-archive", format);
  }
  using Format = image::Store::ArchiveFormat;
  const auto found = TRY(state_->home.store.find(image));
  return state_->home.store.save(found, path,
                                 format == "docker-archive" ? Format::kDocker : Format::kOci);
}

Result<> Engine::write_bundle(std::string_view image, const std::string& directory) {
  const auto found = TRY(state_->home.store.find(image));
  return image::write_oci_bundle(state_->home.store, found, directory);
}

Result<PodInfo> Engine::run_pod(const std::string& manifest, const PodOptions& options) {
  return runtime::run_pod(state_->home, manifest, options);
}

Result<> Engine::stop_pod(std::string_view name, std::optional<std::chrono::seconds> grace) {
  const std::string id = TRY(runtime::find_pod(state_->home, name));
  return runtime::stop_pod(state_->home, id, in_milliseconds(grace));
}

Result<> Engine::delete_pod(std::string_view name, bool force) {
  return runtime::delete_pod(state_->home, TRY(runtime::find_pod(state_->home, name)), force);
}

Result<PodInfo> Engine::pod_status(std::string_view name) {
  return runtime::describe_pod(state_->home, TRY(runtime::find_pod(state_->home, name)));
}

Result<std::vector<PodInfo>> Engine::list_pods() {
  return runtime::list_pods(state_->home);
}

Result<std::string> Engine::inspect_pod(std::string_view name) {
  return runtime::inspect_pod(state_->home, TRY(runtime::find_pod(state_->home, name)));
}

Result<int> Engine::wait_pod(std::string_view name,
                             std::optional<std::chrono::milliseconds> timeout) {
  return runtime::wait_pod(state_->home, TRY(runtime::find_pod(state_->home, name)), timeout);
}

Result<std::string> Engine::pod_container(std::string_view pod, std::string_view container) {
  const std::string id = TRY(runtime::find_pod(state_->home, pod));
  return runtime::find_pod_container(state_->home, id, container);
}

Result<std::vector<VolumeInfo>> Engine::volumes() {
  return runtime::list_volumes(state_->home);
}

Result<std::string> Engine::create_volume(const std::string& name) {
  std::string chosen = name.empty() ? random_hex(32) : name;
  if (TRY(runtime::make_volume(state_->home, chosen, name.empty())) == runtime::Presence::kMade) {
    return chosen;
  }
  return fail(ErrorCode::kAlreadyExists, "there is a volume \"{}\" already", name);
}

Result<> Engine::remove_volume(const std::string& name, bool force) {
  return runtime::remove_volume(state_->home, name, force);
}

Result<PruneResult> Engine::prune_volumes() {
  return runtime::prune_volumes(state_->home);
}

Result<VmSetup> Engine::setup_vm(const VmSetupOptions& options) {
  return runtime::setup_vm(state_->home, options);
}

Result<std::vector<VmKernelInfo>> Engine::vm_kernels() {
  return runtime::list_vm_kernels(state_->home);
}

Result<> Engine::remove_vm_kernel(std::string_view name) {
  return runtime::remove_vm_kernel(state_->home, name);
}

Result<std::string> Engine::vm_info() {
  return runtime::describe_vm(state_->home);
}

Result<std::string> Engine::info() {
  return runtime::describe_host(state_->home);
}

}  // namespace trivet
