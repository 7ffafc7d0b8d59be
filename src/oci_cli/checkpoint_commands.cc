// checkpoint and restore.
#include <array>
#include <limits.h>
#include <sched.h>
#include <unistd.h>

#include "base/text.h"
#include "container/checkpoint.h"
#include "oci_cli/bundle.h"
#include "oci_cli/commands.h"

namespace trivet::oci_cli {

namespace {

using container::CheckpointOptions;
using container::Container;

Result<std::string> absolute(const std::string& path) {
  if (path.empty() || path.starts_with('/')) return path;
  std::array<char, PATH_MAX> current{};
  if (getcwd(current.data(), current.size()) == nullptr) return fail_errno("getcwd");
  return fmt::format("{}/{}", current.data(), path);
}

Result<criu::CgroupMode> parse_cgroup_mode(const std::string& name) {
  if (name.empty() || name == "ignore") return criu::CgroupMode::kIgnore;
  if (name == "soft") return criu::CgroupMode::kSoft;
  if (name == "full") return criu::CgroupMode::kFull;
  if (name == "strict") return criu::CgroupMode::kStrict;
  return fail(ErrorCode::kInvalidArgument,
              "--manage-cgroups-mode: \"{}\" is none of soft, full, strict and ignore", name);
}

Result<> read_page_server(const std::string& text, criu::Options& options) {
  if (text.empty()) return {};
  const size_t colon = text.rfind(':');
  const auto port =
      colon == std::string::npos ? Result<int64_t>(0) : parse_int(text.substr(colon + 1));
  if (!port || *port <= 0 || *port > UINT16_MAX || colon == 0) {
    return fail(ErrorCode::kInvalidArgument, "--page-server: \"{}\" is not ADDRESS:PORT", text);
  }
  options.page_server_address = text.substr(0, colon);
  options.page_server_port = static_cast<int>(*port);
  return {};
}

Result<> read_parent(const Arguments& arguments, const CheckpointOptions& checkpoint,
                     criu::Options& options) {
  const std::string parent = arguments.get("parent-path");
  if (parent.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument,
                "--parent-path: \"{}\" is not relative to the image's directory", parent);
  }
  if (!parent.empty() && access((checkpoint.image_directory + "/" + parent).c_str(), R_OK) != 0 &&
      access(checkpoint.image_directory.c_str(), F_OK) == 0) {
    return fail_errno("--parent-path: \"{}/{}\"", checkpoint.image_directory, parent);
  }
  options.parent_images = parent;
  return {};
}

Result<CheckpointOptions> checkpoint_options(const Arguments& arguments) {
  if (arguments.has("lazy-pages") || arguments.has("status-fd")) {
    return fail(ErrorCode::kUnsupported,
                "--lazy-pages is not supported: pages are restored at once");
  }
  CheckpointOptions result;
  result.image_directory = TRY(absolute(arguments.get("image-path", "checkpoint")));
  result.work_directory = TRY(absolute(arguments.get("work-path")));
  result.pre_dump = arguments.has("pre-dump");
  criu::Options& options = result.criu;
  options.leave_running = arguments.has("leave-running");
  options.tcp_established = arguments.has("tcp-established");
  options.tcp_close = arguments.has("tcp-close");
  options.tcp_skip_in_flight = arguments.has("tcp-skip-in-flight");
  options.external_unix_sockets = arguments.has("ext-unix-sk");
  options.shell_job = arguments.has("shell-job");
  options.file_locks = arguments.has("file-locks");
  options.link_remap = arguments.has("link-remap");
  options.auto_dedup = arguments.has("auto-dedup");
  options.lsm_profile = arguments.get("lsm-profile");
  options.lsm_mount_context = arguments.get("lsm-mount-context");
  options.cgroup_mode = TRY(parse_cgroup_mode(arguments.get("manage-cgroups-mode")));
  TRY(read_page_server(arguments.get("page-server"), options));
  TRY(read_parent(arguments, result, options));
  for (const std::string& name : arguments.all("empty-ns")) {
    if (name != "network") {
      return fail(ErrorCode::kInvalidArgument, "--empty-ns: \"{}\" is not \"network\"", name);
    }
    options.empty_namespaces |= CLONE_NEWNET;
  }
  return result;
}

}  // namespace

Result<int> command_checkpoint(const Globals& globals, const Arguments& arguments) {
  Container container = TRY(Container::load(globals.root, arguments.operands()[0]));
  const auto annotations = container.state().annotations;
  if (const auto isolation = annotations.find(payload::kIsolationAnnotation);
      isolation != annotations.end() && isolation->second != "native") {
    return fail(ErrorCode::kUnsupported,
                "cannot checkpoint container \"{}\": only native ones can be, and it is {}",
                container.id(), isolation->second);
  }
  const CheckpointOptions options = TRY(checkpoint_options(arguments));
  TRY(container::checkpoint(container, options));
  if (options.pre_dump || options.criu.leave_running) return 0;
  container.on_warning([&globals](const std::string& text) { report_warning(globals.log, text); });
  TRY(container.remove(Container::Force::kYes));
  return 0;
}

Result<int> command_restore(const Globals& globals, const Arguments& arguments) {
  const Bundle bundle = TRY(read_bundle(arguments));
  const CheckpointOptions image = TRY(checkpoint_options(arguments));
  const container::CreateOptions options = TRY(create_options(globals, arguments, bundle));
  const bool detach = arguments.has("detach");
  if (detach && bundle.spec.process && bundle.spec.process->terminal &&
      options.console_socket.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot restore container \"{}\": a detached terminal needs --console-socket",
                options.id);
  }
  if (!detach) TRY(block_forwarded_signals());
  Container container = TRY_IN(container::restore(bundle.spec, options, image),
                               "cannot restore container \"{}\"", options.id);
  if (detach) return 0;
  container.on_warning([&globals](const std::string& text) { report_warning(globals.log, text); });
  const UniqueFd console = container.take_console();
  const auto exit_code = wait_in_foreground(container.init_pidfd(), console.get());
  TRY(container.remove(Container::Force::kYes));
  return exit_code;
}

}  // namespace trivet::oci_cli
