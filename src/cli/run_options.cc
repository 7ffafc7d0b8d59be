#include "cli/run_options.h"

#include <filesystem>

#include "base/text.h"
#include "cli/gpus.h"

namespace trivet::cli {

namespace {

// Stores what `parse` makes of the text.
template <typename T, typename Parse>
std::function<Result<>(const std::string&)> into(T& target, Parse parse) {
  return [&target, parse](const std::string& text) -> Result<> {
    target = TRY(parse(text));
    return {};
  };
}

std::function<Result<>(const std::string&)> into_map(std::map<std::string, std::string>& target) {
  return [&target](const std::string& text) -> Result<> {
    auto [key, value] = TRY(parse_pair(text));
    target.insert_or_assign(std::move(key), std::move(value));
    return {};
  };
}

template <typename T>
Result<T> parse_in_range(std::string_view text, int64_t least, int64_t most) {
  const int64_t value = TRY(parse_int(text));
  if (value < least || value > most) {
    return fail(ErrorCode::kInvalidArgument, "{} is not between {} and {}", value, least, most);
  }
  return static_cast<T>(value);
}

void declare_container(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  command.section("Container");
  command.value("--name", "NAME", run.name, "Name the container; one is made up otherwise");
  command.flag("-d,--detach", run.detach, "Run in the background and print the id");
  command.flag("-i,--interactive", run.interactive, "Keep stdin connected");
  command.flag("-t,--tty", run.terminal, "Give the program a terminal");
  command.flag("--rm", run.remove, "Remove the container when it ends");
  command.flag("--init", run.init, "Run a small init that reaps zombies as process 1");
  command
      .parsed("--restart", "POLICY", into(run.restart, parse_restart),
              "Start it again when it ends: no, always, unless-stopped, on-failure[:N]")
      .defaults_to("no")
      .one_of({"no", "always", "unless-stopped", "on-failure"});
  command.parsed(
      "--timeout", "TIME",
      into(run.timeout,
           [](const std::string& text) -> Result<std::optional<std::chrono::milliseconds>> {
             return TRY(parse_duration(text));
           }),
      "Stop the container after TIME (30, 1m30s) with exit code 124");
  command
      .parsed("--stop-signal", "SIGNAL", into(run.stop_signal, parse_signal),
              "Signal that asks the program to end")
      .defaults_to("the image's, else TERM");
  command
      .parsed("--stop-timeout", "TIME",
              into(run.stop_timeout,
                   [](const std::string& text) -> Result<std::chrono::seconds> {
                     return std::chrono::ceil<std::chrono::seconds>(TRY(parse_duration(text)));
                   }),
              "Time between that signal and KILL")
      .defaults_to("10s");
  command
      .value("--isolation", "BACKEND", run.isolation,
             "What isolates it: native, microvm, wasm, or auto: what the image is made for")
      .defaults_to("auto")
      .one_of({"auto", "native", "microvm", "wasm"});
  command.flag("--experimental", run.experimental, "Allow microvm, which is not yet ripe");
  command.value("--vmm", "NAME", run.vmm, "microvm: the machine's program, qemu or libkrun")
      .defaults_to("qemu")
      .one_of({"qemu", "libkrun"});
  command
      .value("--accel", "NAME", run.accelerator,
             "microvm: run on the processor (kvm) or emulated in software (tcg)")
      .defaults_to("auto")
      .one_of({"auto", "kvm", "tcg"});
  command.flag("--no-template", run.no_template,
               "microvm: boot, instead of restoring a machine that has booted");
  command.value("--disk", "SIZE", run.disk_size, "microvm: size of its writable disk")
      .defaults_to("10g");
  command.value("--fuel", "N", run.fuel, "WebAssembly: end it after N instructions; off: never")
      .defaults_to("1000000000");
  command.value("--invoke", "FUNCTION", run.invoke,
                "WebAssembly: call this export, with the arguments as numbers");
  command.value("--detach-keys", "KEYS", run.detach_keys, "Keys that leave it running")
      .defaults_to("ctrl-p,ctrl-q");
  command.parsed("-l,--label", "KEY=VALUE", into_map(run.labels), "Label the container")
      .repeatable = true;
  command.parsed("--annotation", "KEY=VALUE", into_map(run.annotations), "Add an OCI annotation")
      .repeatable = true;
}

void declare_program(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  command.section("Program");
  command.list("-e,--env", "NAME[=VALUE]", run.env, "Set a variable, or pass on the caller's");
  command.list("--env-file", "FILE", run.env_files, "Read variables from FILE")
      .completed_by(Completes::kFile);
  command.value("-w,--workdir", "DIR", run.workdir, "Start in DIR");
  command.value("-u,--user", "USER[:GROUP]", run.user, "Run as USER, a name or a number");
  command.list("--group-add", "GROUP", run.groups, "Join a further group");
  command.parsed(
      "--entrypoint", "PROGRAM",
      into(run.entrypoint,
           [](const std::string& text) -> Result<std::optional<std::vector<std::string>>> {
             return TRY(parse_entrypoint(text));
           }),
      "Replace the image's entrypoint; \"\" clears it");
}

void declare_files(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  command.section("Files");
  command.value("--rootfs", "DIR", run.rootfs, "Run on a directory instead of an image")
      .completed_by(Completes::kDirectory);
  command.flag("--rootfs-write", run.rootfs_write, "Let the container change that directory");
  command.list("-v,--volume", "SRC:DST[:OPTIONS]", run.volumes,
               "Mount a directory or a named volume; options are ro, z, rslave, …");
  command
      .parsed(
          "--mount", "type=TYPE,...",
          [&run](const std::string& text) -> Result<> {
            run.mounts.push_back(TRY(parse_mount(text)));
            return {};
          },
          "The same in long form, with type=bind, volume or tmpfs")
      .repeatable = true;
  command.list("--tmpfs", "DST[:OPTIONS]", run.tmpfs, "Mount an empty file system in memory");
  command.flag("--read-only", run.read_only, "Make the root file system read-only");
  command.parsed("--shm-size", "SIZE", into(run.shm_size, parse_size), "Size of /dev/shm")
      .defaults_to("64m");
  command
      .list("--device", "HOST[:INSIDE][:rwm]", run.devices,
            "Give access to a device, or one of CDI: nvidia.com/gpu=all")
      .completed_by(Completes::kFile);
  declare_cdi_spec_dirs(command, run.cdi_spec_dirs);
  command
      .parsed(
          "--gpus", "all|N|device=ID,…",
          [&run](const std::string& text) -> Result<> {
            for (std::string& name : TRY(parse_gpus(text))) run.devices.push_back(std::move(name));
            return {};
          },
          "Give access to NVIDIA GPUs, as CDI knows them")
      .one_of({"all", "1", "device="});
}

void declare_network(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  command.section("Network");
  command
      .value("--network,--net", "MODE", run.network, "pasta, none, host, container:NAME or ns:PATH")
      .defaults_to("pasta")
      .one_of({"pasta", "none", "host", "container:", "ns:"});
  command.list("-p,--publish", "[[IP:]HOST:]PORT[/udp]", run.publish, "Publish a port on the host");
  command.value("-h,--hostname", "NAME", run.hostname, "Name the host")
      .defaults_to("the id's first 12 digits");
  command.list("--add-host", "NAME:ADDRESS", run.add_hosts, "Add a line to /etc/hosts");
  command.list("--dns", "ADDRESS", run.dns, "Ask this name server");
  command.list("--dns-search", "DOMAIN", run.dns_search, "Search this domain");
  command.list("--dns-option,--dns-opt", "OPTION", run.dns_options, "Add an option to resolv.conf");
}

void declare_memory(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  command.section("Limits");
  command.parsed("-m,--memory", "SIZE", into(run.memory, parse_limit), "Limit memory: 64m, 1.5g");
  command.parsed("--memory-swap", "SIZE", into(run.memory_swap, parse_swap_limit),
                 "Limit memory and swap together; -1 is no limit");
  command.parsed("--memory-reservation", "SIZE", into(run.memory_reservation, parse_limit),
                 "Memory to keep when the host is short of it");
  command.parsed("--pids-limit,--pids", "NUMBER", into(run.pids, parse_pids_limit),
                 "Limit the number of processes and threads");
  command.list("--ulimit", "NAME=SOFT[:HARD]", run.ulimits,
               "Set a resource limit of each process: nofile=1024:2048");
  command.parsed("--oom-score-adj", "NUMBER",
                 into(run.oom_score_adj,
                      [](const std::string& text) -> Result<std::optional<int>> {
                        return TRY(parse_in_range<int>(text, -1000, 1000));
                      }),
                 "Make the kernel kill it later (-1000) or sooner (1000) when memory is out");
  command.flag("--oom-kill-disable", run.oom_kill_disable,
               "Pause instead of killing when over the memory limit (cgroup v1)");
}

void declare_cpu(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  const auto some_cpu = [](auto parse) {
    return [parse](const std::string& text) -> Result<std::optional<CpuTime>> {
      return TRY(parse(text));
    };
  };
  command.parsed("--cpus", "NUMBER", into(flags.cpus, some_cpu(parse_cpus)),
                 "Limit CPU time to that of NUMBER CPUs: 1.5");
  command.parsed("--cpu", "\"QUOTA PERIOD\"", into(flags.cpu_max, some_cpu(parse_cpu_max)),
                 "Limit CPU time to QUOTA in each PERIOD, in microseconds");
  command.parsed("--cpu-quota", "MICROSECONDS",
                 into(run.cpu_quota,
                      [](const std::string& text) -> Result<std::optional<int64_t>> {
                        const int64_t quota = TRY(parse_int(text));
                        return quota <= 0 ? std::nullopt : std::optional(quota);
                      }),
                 "Limit CPU time in each period");
  command.parsed("--cpu-period", "MICROSECONDS",
                 into(run.cpu_period,
                      [](const std::string& text) -> Result<std::optional<uint64_t>> {
                        return TRY(parse_in_range<uint64_t>(text, 1000, 1000000));
                      }),
                 "Length of that period");
  command.parsed("-c,--cpu-shares", "NUMBER",
                 into(run.cpu_shares,
                      [](const std::string& text) -> Result<std::optional<uint64_t>> {
                        return TRY(parse_in_range<uint64_t>(text, 2, 262144));
                      }),
                 "Weight against other containers when CPUs are short (1024 is usual)");
  command.value("--cpuset-cpus", "LIST", run.cpuset_cpus, "Run on these CPUs only: 0-3,7");
  command.value("--cpuset-mems", "LIST", run.cpuset_mems, "Use these memory nodes only");
  command.value("--cgroup-parent", "PATH", run.cgroup_parent, "Put its cgroup below PATH");
}

void declare_security(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  command.section("Security");
  command.list("--cap-add", "CAPABILITY", run.cap_add, "Add a capability, or ALL");
  command.list("--cap-drop", "CAPABILITY", run.cap_drop, "Drop a capability, or ALL");
  command.list("--security-opt", "OPTION", run.security_opt,
               "no-new-privileges, seccomp=FILE|unconfined, apparmor=…, label=…, mask=…, unmask=…");
  command.flag("--privileged", run.privileged, "Give all capabilities and devices: not a sandbox");
  command.parsed("--sysctl", "NAME=VALUE", into_map(run.sysctls), "Set a kernel parameter inside")
      .repeatable = true;
  command.value("--pid", "MODE", run.pid_mode, "Process namespace: host or container:NAME")
      .one_of({"host", "container:"});
  command.value("--ipc", "MODE", run.ipc_mode, "IPC namespace: private or host")
      .one_of({"private", "host", "container:"});
  command.value("--uts", "MODE", run.uts_mode, "Host name's namespace: host").one_of({"host"});
}

void declare_logs_and_image(Command& command, RunFlags& flags) {
  RunOptions& run = flags.run;
  command.section("Logs");
  command
      .parsed("--log-max-size", "SIZE",
              into(run.log_max_size,
                   [](const std::string& text) -> Result<uint64_t> {
                     return static_cast<uint64_t>(TRY(parse_size(text)));
                   }),
              "Start a new log file at SIZE")
      .defaults_to("10m");
  command
      .parsed("--log-max-files", "NUMBER",
              into(run.log_max_files,
                   [](const std::string& text) { return parse_in_range<int>(text, 1, 1000); }),
              "Keep so many log files")
      .defaults_to("3");
  command.section("Image");
  command
      .parsed(
          "--pull", "WHEN",
          [&run](const std::string& text) -> Result<> {
            if (text != "missing" && text != "always" && text != "never") {
              return std::unexpected(
                  Error(ErrorCode::kInvalidArgument, fmt::format("unknown policy \"{}\"", text))
                      .hint("use missing, always or never"));
            }
            run.pull = text;
            return {};
          },
          "When to pull the image: missing, always or never")
      .defaults_to("missing")
      .one_of({"missing", "always", "never"});
  command.flag("-q,--quiet", flags.quiet, "Show no progress of a pull");
  command.value("--platform", "OS/ARCH", run.transfer.platform, "Pull for another platform");
  declare_transfer_options(command, run.transfer);
}

std::unexpected<Error> conflict(std::string_view one, std::string_view other) {
  return fail(ErrorCode::kInvalidArgument, "{} and {} can't be given together", one, other);
}

Result<> apply_cpu_time(const RunFlags& flags, RunOptions& options) {
  if (flags.cpus && flags.cpu_max) return conflict("--cpus", "--cpu");
  const auto& time = flags.cpus ? flags.cpus : flags.cpu_max;
  if (!time) return {};
  const char* given = flags.cpus ? "--cpus" : "--cpu";
  if (options.cpu_quota) return conflict(given, "--cpu-quota");
  if (options.cpu_period) return conflict(given, "--cpu-period");
  options.cpu_quota = time->quota;
  if (time->quota) options.cpu_period = time->period;
  return {};
}

Result<> check_conflicts(const RunOptions& options) {
  const bool restarts = options.restart.kind != RestartPolicy::Kind::kNo;
  if (options.remove && restarts) return conflict("--rm", "--restart");
  if (restarts && options.timeout) return conflict("--restart", "--timeout");
  if (options.rootfs_write && options.rootfs.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--rootfs-write is for --rootfs only");
  }
  if (options.memory_swap && *options.memory_swap >= 0 && !options.memory) {
    return std::unexpected(Error(ErrorCode::kInvalidArgument, "--memory-swap needs --memory")
                               .hint("--memory-swap is the limit of memory and swap together"));
  }
  if (options.memory && options.memory_swap && *options.memory_swap >= 0 &&
      *options.memory_swap < *options.memory) {
    return fail(ErrorCode::kInvalidArgument, "--memory-swap is less than --memory");
  }
  return {};
}

}  // namespace

// Another process, of a pool, may look for them from elsewhere.
void declare_cdi_spec_dirs(Command& command, std::vector<std::string>& directories) {
  OptionSpec& option = command.parsed(
      "--cdi-spec-dir", "DIR",
      [&directories](const std::string& text) -> Result<> {
        std::error_code error;
        directories.push_back(std::filesystem::absolute(text, error).string());
        return {};
      },
      "Look for files of CDI in DIR, the last one given first");
  option.defaults_to("$TRIVET_CDI_SPEC_DIRS, or /etc/cdi and /var/run/cdi")
      .completed_by(Completes::kDirectory);
  option.repeatable = true;
}

void declare_transfer_options(Command& command, TransferOptions& options) {
  command
      .flag("--tls-verify", options.tls_verify,
            "Check the registry's certificate; =false also allows plain HTTP")
      .defaults_to("true");
  command.value("--ca-file", "FILE", options.ca_file, "Trust the authorities in FILE")
      .completed_by(Completes::kFile);
  command.value("--creds", "USER:PASSWORD", options.credentials, "Log in to the registry");
  command.value("--authfile", "FILE", options.auth_file, "Read credentials from FILE")
      .defaults_to("~/.docker/config.json and Podman's auth.json")
      .completed_by(Completes::kFile);
}

void declare_run_options(Command& command, RunFlags& flags) {
  declare_container(command, flags);
  declare_program(command, flags);
  declare_files(command, flags);
  declare_network(command, flags);
  declare_memory(command, flags);
  declare_cpu(command, flags);
  declare_security(command, flags);
  declare_logs_and_image(command, flags);
}

Result<RunOptions> finish_run_options(const RunFlags& flags, std::vector<std::string> arguments) {
  RunOptions options = flags.run;
  TRY(apply_cpu_time(flags, options));
  TRY(check_conflicts(options));
  if (options.rootfs.empty()) {
    if (arguments.empty()) {
      return std::unexpected(Error(ErrorCode::kInvalidArgument, "there is no image to run")
                                 .hint("name an image, or a directory with --rootfs DIR"));
    }
    options.image = arguments.front();
    arguments.erase(arguments.begin());
    // `IMAGE -- COMMAND`: the "--" is ours.
    if (!arguments.empty() && arguments.front() == "--") arguments.erase(arguments.begin());
  }
  options.command = std::move(arguments);
  return options;
}

}  // namespace trivet::cli
