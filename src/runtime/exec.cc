#include "runtime/exec.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <unistd.h>

#include "base/child_streams.h"
#include "base/fs.h"
#include "base/process.h"
#include "image/bundle.h"
#include "linux/capabilities.h"
#include "monitor/attach_client.h"
#include "payload/prepare.h"
#include "runtime/plan.h"

namespace trivet::runtime {

namespace {

std::optional<std::string> own_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

void plan_capabilities(const ExecOptions& options, oci::Process& process) {
  oci::Capabilities capabilities = process.capabilities.value_or(oci::Capabilities{});
  if (options.privileged) capabilities.bounding = caps::all_capabilities();
  capabilities.inheritable.clear();
  capabilities.ambient.clear();
  capabilities.effective.clear();
  if (process.user.uid == 0) capabilities.effective = capabilities.bounding;
  capabilities.permitted = capabilities.effective;
  process.capabilities = std::move(capabilities);
}

monitor::AttachOptions streams_of(const ExecOptions& options) {
  return {.terminal = options.terminal,
          .interactive = options.interactive,
          .detach_keys = options.detach_keys,
          .forward_signals = true,
          .timeout = options.timeout};
}

AttachResult result_of(const monitor::AttachOutcome& outcome) {
  return {
      .detached = outcome.detached, .timed_out = outcome.timed_out, .exit_code = outcome.exit_code};
}

// Pipes and never the caller's own descriptors: a program in the container could open a file of the
// host anew through /proc/self/fd.
Result<AttachResult> exec_with_pipes(const container::Container& engine,
                                     container::ExecOptions& request, const ExecOptions& options) {
  const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
  Pipe in;
  if (options.interactive) in = TRY(make_pipe());
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  request.stdio = {.stdin_fd = options.interactive ? in.read_end.get() : null.get(),
                   .stdout_fd = out.write_end.get(),
                   .stderr_fd = err.write_end.get()};
  const container::Started started = TRY(engine.exec(request));
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  return result_of(TRY(monitor::pump_streams({.stdin_fd = std::move(in.write_end),
                                              .stdout_fd = std::move(out.read_end),
                                              .stderr_fd = std::move(err.read_end)},
                                             started, streams_of(options))));
}

Result<AttachResult> exec_with_terminal(const container::Container& engine,
                                        container::ExecOptions& request,
                                        const ExecOptions& options) {
  const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
  request.stdio = {.stdin_fd = null.get(), .stdout_fd = null.get(), .stderr_fd = null.get()};
  container::Started started = TRY(engine.exec(request));
  return result_of(TRY(monitor::pump_terminal(std::move(started), streams_of(options))));
}

Result<AttachResult> exec_detached(const container::Container& engine,
                                   container::ExecOptions& request) {
  const UniqueFd null = TRY(open_file("/dev/null", O_RDWR));
  request.stdio = {.stdin_fd = null.get(), .stdout_fd = null.get(), .stderr_fd = null.get()};
  TRY(engine.exec(request));
  return AttachResult{.detached = true};
}

}  // namespace

Result<oci::Process> plan_exec(const oci::Process& own, const ExecOptions& options,
                               const std::string& root) {
  if (options.command.empty() || options.command.front().empty()) {
    return fail(ErrorCode::kInvalidArgument, "there is no command to run");
  }
  oci::Process process = own;
  process.args = options.command;
  process.terminal = options.terminal;
  process.console_size.reset();
  if (options.terminal) merge_env(process.env, {"TERM=xterm"}, own_environment);
  if (!options.user.empty()) {
    std::string home;
    process.user =
        TRY_IN(image::resolve_user({root}, options.user, &home), "user \"{}\"", options.user);
    merge_env(process.env, {fmt::format("HOME={}", home)}, own_environment);
  }
  merge_env(process.env, options.env, own_environment);
  if (!options.workdir.empty()) {
    process.cwd = TRY_IN(normal_path(options.workdir), "--workdir");
  }
  plan_capabilities(options, process);
  return process;
}

namespace {

// What container::Container::exec() needs, and what of it has to stay until then.
struct Prepared {
  container::Container engine;
  container::ExecOptions request;
  std::optional<payload::PreparedExec> payload;
};

// Whom a signal to end is for.
enum class Ends { kProgram, kGroup };  // the latter: what it has started, too

Result<Prepared> prepare(const Home& home, const Observed& observed, const ExecOptions& options,
                         Ends ends) {
  TRY(require_running(observed));
  if (observed.state == ContainerStatus::kPaused) {
    return std::unexpected(
        Error(ErrorCode::kWrongState,
              fmt::format("container \"{}\" is paused", observed.record.name))
            .hint(fmt::format("unpause it: trivet unpause {}", observed.record.name)));
  }
  Prepared prepared {
    .engine = TRY(load_engine(home, observed))
    , .request = {}, .payload = {}
  };
  const oci::Spec spec = TRY(prepared.engine.load_spec());
  container::ExecOptions& request = prepared.request;
  request.seccomp_cache = home.directories.data + "/seccomp";
  // Who a user is, only the guest of a microVM knows.
  const bool is_vm = monitor::is_machine(observed.record);
  ExecOptions planned = options;
  if (is_vm) planned.user.clear();
  request.process = TRY(
      plan_exec(*spec.process, planned, fmt::format("/proc/{}/root", observed.status.init.pid)));
  const auto is_home = [](const std::string& entry) { return entry.starts_with("HOME="); };
  if (is_vm && !options.user.empty() && std::ranges::none_of(options.env, is_home)) {
    std::erase_if(request.process.env, is_home);  // it is the container's user's
  }
  prepared.payload = TRY(payload::prepare_exec(
      prepared.engine, request.process, home.directories.data + "/wasm", options.invoke,
      {.user = is_vm ? options.user : "", .ends_group = ends == Ends::kGroup}));
  if (prepared.payload) request.process = prepared.payload->process;
  return prepared;
}

}  // namespace

Result<AttachResult> exec_in_container(const Home& home, const Observed& observed,
                                       const ExecOptions& options) {
  if (options.detach && options.terminal) {
    return fail(ErrorCode::kInvalidArgument,
                "-d and -t exclude each other: nobody would hold the terminal");
  }
  if (options.detach && options.timeout) {
    return fail(ErrorCode::kInvalidArgument,
                "-d and --timeout exclude each other: nobody would wait");
  }
  const Ends ends = options.timeout ? Ends::kGroup : Ends::kProgram;
  Prepared prepared = TRY(prepare(home, observed, options, ends));
  if (prepared.payload) prepared.request.program = &prepared.payload->program;
  if (options.detach) return exec_detached(prepared.engine, prepared.request);
  if (options.terminal) return exec_with_terminal(prepared.engine, prepared.request, options);
  return exec_with_pipes(prepared.engine, prepared.request, options);
}

Result<int> exec_over_streams(const Home& home, const Observed& observed,
                              const ExecCommand& command, const ExecStdio& stdio) {
  Prepared prepared = TRY(prepare(home, observed,
                                  {.command = command.argv,
                                   .env = command.env,
                                   .workdir = command.workdir,
                                   .user = command.user},
                                  Ends::kGroup));
  if (prepared.payload) prepared.request.program = &prepared.payload->program;
  PipePairs pipes = TRY(make_child_pipes(stdio));
  prepared.request.stdio = {.stdin_fd = pipes.childs.stdin_fd.get(),
                            .stdout_fd = pipes.childs.stdout_fd.get(),
                            .stderr_fd = pipes.childs.stderr_fd.get()};
  const container::Started started = TRY(prepared.engine.exec(prepared.request));
  pipes.childs = {};
  return carry_streams(std::move(pipes.ours), started.pidfd.get(), command, stdio,
                       {.group = started.pid});
}

}  // namespace trivet::runtime
