// pod run, ps, inspect, stop, wait, rm: what is done with pods as a whole.
#include <algorithm>
#include <memory>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/listing.h"
#include "cli/names.h"
#include "cli/progress.h"
#include "cli/run_configuration.h"
#include "cli/run_options.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;
using Grace = std::optional<std::chrono::seconds>;

constexpr size_t kLargestManifest = 1U << 20U;

Command on_pods() {
  Command command;
  command.takes("POD...", 1, kAnyNumber, Completes::kPod);
  return command;
}

enum class Choose { kRunning, kAll };

// The names given, or with `all` those of every pod.
Result<Names> chosen_pods(Session& session, bool all, Choose which, const Names& names) {
  if (all && !names.empty()) {
    return fail(ErrorCode::kInvalidArgument, "--all and names can't be given together");
  }
  if (!all && names.empty()) {
    return std::unexpected(Error(ErrorCode::kInvalidArgument, "no pod is named")
                               .hint("name at least one, or use --all"));
  }
  if (!all) return names;
  Names found;
  Engine* engine = TRY(session.engine());
  for (const PodInfo& info : TRY(engine->list_pods())) {
    const bool ended = info.phase == PodPhase::kSucceeded || info.phase == PodPhase::kFailed;
    if (which == Choose::kAll || !ended) found.push_back(info.name);
  }
  return found;
}

// ---------------------------------------------------------------- run

struct RunPodFlags {
  PodOptions pod;
  std::vector<std::string> files;  // -f
  bool quiet = false;
  std::string format;
};

Result<std::string> read_manifest(const std::string& file) {
  if (file == "-") return read_fd(STDIN_FILENO, "the manifest on stdin", kLargestManifest);
  return read_file(file, kLargestManifest);
}

Result<std::string> manifest_of(const RunPodFlags& flags, const Names& arguments) {
  Names files = flags.files;
  files.insert(files.end(), arguments.begin(), arguments.end());
  if (files.size() == 1) return files.front();
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument,
            files.empty() ? "no manifest is given" : "only one manifest can be run at a time")
          .hint("trivet pod run pod.yaml, or - for stdin"));
}

Result<int> run_pod(Session& session, const RunPodFlags& flags, const Names& arguments) {
  const std::string file = TRY(manifest_of(flags, arguments));
  PodOptions options = flags.pod;
  TRY(apply_configuration(options));
  options.manifest_name = file == "-" ? "stdin" : file;
  options.on_warning = [&session](const std::string& text) { session.warn(text); };
  if (!flags.quiet) options.progress = lazy_progress_of_several();
  const std::string manifest = TRY(read_manifest(file));
  Engine* engine = TRY(session.engine());
  const PodInfo pod = TRY(engine->run_pod(manifest, options));
  session.print(flags.format == "json" ? dump_pretty(pod_object(pod)) : pod.id + '\n');
  return 0;
}

Result<> store_pull(PodOptions& options, const std::string& text) {
  if (text != "missing" && text != "always" && text != "never") {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("unknown policy \"{}\"", text))
            .hint("use missing, always or never"));
  }
  options.pull = text;
  return {};
}

void declare_manifest_options(Command& command, RunPodFlags& flags) {
  PodOptions* const pod = &flags.pod;
  command.list("-f,--file", "FILE", flags.files, "The manifest, as the argument is")
      .completed_by(Completes::kFile);
  command
      .list("--configmap", "FILE", pod->config_files,
            "Read ConfigMaps and Secrets that the pod names from FILE")
      .completed_by(Completes::kFile);
  command.value("-n,--name", "NAME", pod->name, "Name the pod, instead of metadata.name");
  command.flag("--ignore-unsupported", pod->ignore_unsupported,
               "Leave out, with a warning, what the manifest has and trivet does not do");
}

void declare_pod_options(Command& command, RunPodFlags& flags) {
  PodOptions* const pod = &flags.pod;
  command
      .value("--isolation", "BACKEND", pod->isolation,
             "What isolates it: native, microvm or wasm, instead of what the manifest says")
      .one_of({"native", "microvm", "wasm"});
  command.flag("--experimental", pod->experimental, "Allow microvm, which is not yet ripe");
  command.list("-p,--publish", "[IP:][PORT:]PORT[/udp]", pod->publish,
               "Publish a port of the pod, besides those with a hostPort");
  command.list("--extension", "NAME[=PATH]", pod->extensions,
               "Run an extension: dns, metrics, or a program or library of your own");
  command
      .parsed(
          "--pull", "WHEN", [pod](const std::string& text) { return store_pull(*pod, text); },
          "When to pull images, instead of each container's imagePullPolicy")
      .one_of({"missing", "always", "never"});
  command.flag("-q,--quiet", flags.quiet, "Don't show the progress of pulls");
  declare_transfer_options(command, pod->transfer);
  add_format_option(command, flags.format).one_of({"text", "json"}).defaults_to("text").help =
      "Print the pod's id, or JSON about it";
}

// ---------------------------------------------------------------- ps, inspect

struct PsFlags {
  bool quiet = false;
  bool no_trunc = false;
  std::string format;
  PodFilter filter;
};

Result<int> ps(Session& session, const PsFlags& flags) {
  Engine* engine = TRY(session.engine());
  auto pods = TRY(engine->list_pods());
  std::erase_if(pods, [&](const PodInfo& info) { return !flags.filter.accepts(info); });
  std::ranges::stable_sort(pods, std::ranges::greater{}, &PodInfo::created);
  if (flags.quiet) {
    for (const PodInfo& info : pods) {
      session.print((flags.no_trunc ? info.id : short_id(info.id)) + '\n');
    }
    return 0;
  }
  const IdLength length = flags.no_trunc ? IdLength::kFull : IdLength::kShort;
  session.print(TRY(render_listing(list_pods(pods, length), flags.format)));
  return 0;
}

Result<int> inspect(Session& session, const std::string& format, const Names& names) {
  Engine* engine = TRY(session.engine());
  Listing listing;
  int code = 0;
  for (const std::string& name : names) {
    auto text = engine->inspect_pod(name);
    if (!text) {
      session.report(cannot("inspect pod", name, std::move(text.error())));
      code = 1;
      continue;
    }
    Object object = Object::parse(*text, nullptr, false);
    if (object.is_discarded()) return fail(ErrorCode::kCorrupt, "inspect: not JSON");
    listing.items.push_back(std::move(object));
  }
  session.print(TRY(render_listing(listing, format.empty() ? "json" : format)));
  return code;
}

// ---------------------------------------------------------------- the end

void declare_grace(Command& command, Grace& grace) {
  command
      .parsed(
          "-t,--time,--grace", "TIME",
          [&grace](const std::string& text) -> Result<> {
            grace = std::chrono::ceil<std::chrono::seconds>(TRY(parse_duration(text)));
            return {};
          },
          "Time before KILL is sent")
      .defaults_to("the manifest's terminationGracePeriodSeconds");
}

struct RemoveFlags {
  bool all = false;
  bool force = false;
};

Result<int> remove(Session& session, const RemoveFlags& flags, const Names& given) {
  const Names names = TRY(chosen_pods(session, flags.all, Choose::kAll, given));
  Engine* engine = TRY(session.engine());
  int code = 0;
  for (const std::string& name : names) {
    auto removed = engine->delete_pod(name, flags.force);
    if (removed) {
      session.print(name + '\n');
    } else if (flags.force && removed.error().code() == ErrorCode::kNotFound) {
      session.remark(fmt::format("there is no pod \"{}\"", name));
    } else {
      session.report(cannot("remove pod", name, std::move(removed.error())));
      code = 1;
    }
  }
  return code;
}

using Timeout = std::optional<std::chrono::milliseconds>;

Result<int> wait(Session& session, const Timeout& timeout, const Names& names) {
  Engine* engine = TRY(session.engine());
  int code = 0;
  for (const std::string& name : names) {
    if (auto exit_code = engine->wait_pod(name, timeout); exit_code) {
      session.print(fmt::format("{}\n", *exit_code));
      TRY(session.flush());
    } else {
      session.report(cannot("wait for pod", name, std::move(exit_code.error())));
      code = 1;
    }
  }
  return code;
}

}  // namespace

Command make_pod_run() {
  Command command;
  const auto flags = std::make_shared<RunPodFlags>();
  command.takes("FILE|-", 0, 1, Completes::kFile);
  command.description =
      "Runs the Pod of a Kubernetes manifest, YAML or JSON, and prints its id once every container "
      "runs: init containers have ended, startup and readiness probes have passed. When anything "
      "fails before that, nothing is left of the pod, and the error says what its containers "
      "printed last. The manifest is checked as a whole before anything is done.";
  declare_manifest_options(command, *flags);
  declare_pod_options(command, *flags);
  command.example("trivet pod run pod.yaml", "Run a pod")
      .example("trivet pod run --configmap settings.yaml -p 8080:80 pod.yaml",
               "With a ConfigMap of another file, and a published port")
      .example("kubectl get pod web -o yaml | trivet pod run --ignore-unsupported -",
               "A pod of a cluster, here");
  command.action = [flags](Session& session, const Names& arguments) {
    return run_pod(session, *flags, arguments);
  };
  return command;
}

Command make_pod_ps() {
  Command command;
  const auto flags = std::make_shared<PsFlags>();
  command.usages = {""};
  command.description =
      "Lists pods, newest first, also those that have ended. READY counts the containers that are "
      "ready of those that stay.";
  command.flag("-q,--quiet", flags->quiet, "Print ids only");
  command.flag("--no-trunc", flags->no_trunc, "Print whole ids");
  command
      .parsed(
          "-f,--filter", "KEY=VALUE",
          [flags = flags.get()](const std::string& text) { return flags->filter.add(text); },
          "Show those with id, name, status or label")
      .one_of({"id=", "name=", "status=running", "status=succeeded", "status=failed", "label="})
      .repeatable = true;
  add_format_option(command, flags->format);
  command.example("trivet pod ps --filter status=running", "Those that run")
      .example("trivet pod ps --format '{{.Name}} {{.Phase}}'", "Two fields of each");
  command.action = [flags](Session& session, const Names&) { return ps(session, *flags); };
  return command;
}

Command make_pod_inspect() {
  Command command = on_pods();
  const auto format = std::make_shared<std::string>();
  command.description = "Prints a JSON array with one object for each pod.";
  command
      .value("-f,--format", "FORMAT", *format, "Print JSON, or a template such as '{{.InfraPid}}'")
      .defaults_to("json")
      .one_of({"json"});
  command.example("trivet pod inspect web", "Everything known")
      .example("trivet pod inspect -f '{{json .Containers}}' web", "One field");
  command.action = [format](Session& session, const Names& names) {
    return inspect(session, *format, names);
  };
  return command;
}

Command make_pod_stop() {
  struct Flags {
    bool all = false;
    Grace grace;
  };
  Command command = on_pods();
  const auto flags = std::make_shared<Flags>();
  command.min_arguments = 0;
  command.description =
      "Runs the preStop hooks, sends each container its stop signal, and KILL to those that are "
      "still there after the grace period; sidecars end last. The pod stays until it is removed.";
  declare_grace(command, flags->grace);
  command.flag("-a,--all", flags->all, "Stop all pods that run");
  command.example("trivet pod stop web", "Give it what its manifest says")
      .example("trivet pod stop -t 1 web db", "One second for each of two");
  command.action = [flags](Session& session, const Names& given) -> Result<int> {
    const Names names = TRY(chosen_pods(session, flags->all, Choose::kRunning, given));
    Engine* engine = TRY(session.engine());
    return for_each_name(session, "stop pod", names, [&](const std::string& name) {
      return engine->stop_pod(name, flags->grace);
    });
  };
  return command;
}

Command make_pod_wait() {
  Command command = on_pods();
  const auto timeout = std::make_shared<Timeout>();
  command.description =
      "Prints 0 when all containers of the pod have ended well, else the exit code of the first "
      "that has not.";
  command.parsed(
      "-t,--timeout", "TIME",
      [timeout = timeout.get()](const std::string& text) -> Result<> {
        *timeout = TRY(parse_duration(text));
        return {};
      },
      "Give up after TIME, with exit code 1");
  command.example("trivet pod wait job", "Print the exit code once it has ended");
  command.action = [timeout](Session& session, const Names& names) {
    return wait(session, *timeout, names);
  };
  return command;
}

Command make_pod_rm() {
  Command command = on_pods();
  const auto flags = std::make_shared<RemoveFlags>();
  command.min_arguments = 0;
  command.description =
      "Removes pods that have ended with their containers, logs and volumes (those of "
      "persistentVolumeClaims stay). With --force, a pod that is not there is no failure.";
  command.flag("-f,--force", flags->force, "Kill what still runs");
  command.flag("-a,--all", flags->all, "Remove all pods");
  command.example("trivet pod rm -f web", "Kill and remove a pod")
      .example("trivet pod rm -f --all", "Remove all pods, running or not");
  command.action = [flags](Session& session, const Names& names) {
    return remove(session, *flags, names);
  };
  return command;
}

}  // namespace trivet::cli
