// install and uninstall: trivet-oci as a runtime of other programs.
#include <iostream>
#include <memory>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/session.h"
#include "trivet/install.h"

namespace trivet::cli {

namespace {

using Names = std::vector<std::string>;

constexpr const char* kKubernetes = "kubernetes";

struct Flags {
  InstallOptions options;
  bool yes = false;
  bool dry_run = false;
  bool restart = false;
  bool apply = false;  // kubernetes
};

// Asks on the terminal. Whoever can't be asked has to have said yes before.
Result<bool> agreed(const std::string& question) {
  if (!Session::stdin_is_terminal()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, "nobody can be asked: the input is no terminal")
            .hint("`--yes` agrees beforehand, `--dry-run` only shows the change"));
  }
  std::cerr << question << " [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

std::string names_of(const InstallPlan& plan) {
  Names names;
  for (const Handler& handler : plan.handlers) names.push_back(handler.name);
  return join(names, ", ");
}

// What a newcomer would type next.
std::string first_use(Caller caller) {
  switch (caller) {
    case Caller::kDocker:
      return "docker run --rm --runtime trivet IMAGE";
    case Caller::kPodman:
      return "podman --runtime trivet run --rm IMAGE";
    case Caller::kContainerd:
    case Caller::kCrio:
      break;
  }
  return "trivet install kubernetes  (the RuntimeClasses for pods; once a cluster)";
}

void say_what_is_next(Session& session, const InstallPlan& plan, const Flags& flags) {
  if (plan.removes) return;
  session.print(flags.options.as_default
                    ? "it is the default runtime now; what runs already stays as it is\n"
                    : fmt::format("try it: {}\n", first_use(plan.caller)));
  if (plan.handlers.size() > 1) {
    session.remark(
        "trivet-microvm also needs `trivet vm setup`, and \"experimental: true\" in "
        "/etc/trivet/config.yml");
  }
}

Result<> bring_into_effect(Session& session, const InstallPlan& plan, const Flags& flags) {
  const Activation activation = TRY(find_activation(plan));
  if (activation.text.empty()) return {};
  const bool possible = activation.pid != 0 || !activation.command.empty();
  const std::string effect = activation.restarts
                                 ? "running containers go on, but it is away for a moment"
                                 : "nothing is interrupted";
  bool now = possible && flags.restart;
  if (possible && !now && !flags.yes) {
    now = TRY(
        agreed(fmt::format("Run `{}`, so that it takes effect ({})?", activation.text, effect)));
  }
  if (!now) {
    session.print(fmt::format("to bring it into effect: {}\n", activation.text));
    return {};
  }
  TRY(activate(activation));
  session.print(fmt::format("done: {}\n", activation.text));
  return {};
}

// Shows the plan, asks, and does it.
Result<int> carry_out(Session& session, const InstallPlan& plan, const Flags& flags) {
  for (const std::string& warning : plan.warnings) session.warn(warning);
  if (plan.empty()) {
    session.print(fmt::format("registered in {} already: {}\n", plan.file.path, names_of(plan)));
    return 0;
  }
  session.print(plan.diff());
  if (flags.dry_run) return 0;
  TRY(session.flush());
  if (!flags.yes && !TRY(agreed(plan.removes ? "Take it out?" : "Change it so?"))) {
    session.print("nothing was changed\n");
    return 1;
  }
  TRY(apply_plan(plan));
  session.print(fmt::format("{} {}: {}\n", plan.removes ? "taken out of" : "registered in",
                            plan.file.path, names_of(plan)));
  TRY(bring_into_effect(session, plan, flags));
  say_what_is_next(session, plan, flags);
  return 0;
}

Result<int> install_classes(Session& session, const Flags& flags) {
  if (!flags.apply) {
    session.print(runtime_class_manifests());
    session.remark(
        "`trivet install kubernetes | kubectl apply -f -`, or with --apply; each node needs "
        "`trivet install containerd` or `trivet install cri-o`");
    return 0;
  }
  session.print(runtime_class_manifests());
  if (flags.dry_run) return 0;
  TRY(session.flush());
  if (!flags.yes && !TRY(agreed("Apply it to kubectl's current cluster?"))) {
    session.print("nothing was changed\n");
    return 1;
  }
  session.print(TRY(apply_runtime_classes()));
  return 0;
}

Result<int> uninstall_classes(Session& session, const Flags& flags) {
  session.print(runtime_class_manifests());
  if (flags.dry_run) return 0;
  TRY(session.flush());
  if (!flags.yes && !TRY(agreed("Delete it from kubectl's current cluster?"))) {
    session.print("nothing was changed\n");
    return 1;
  }
  session.print(TRY(delete_runtime_classes()));
  return 0;
}

Result<> check_options(const std::string& program, const Flags& flags) {
  const bool podman = program == "podman";
  const bool kubernetes = program == kKubernetes;
  const auto wrong = [&](const char* option) {
    return fail(ErrorCode::kInvalidArgument, "{} means nothing for {}", option, program);
  };
  if (flags.options.for_user && !podman) return wrong("--user");
  if (flags.apply && !kubernetes) return wrong("--apply");
  if (!kubernetes) return {};
  if (flags.options.as_default) return wrong("--default");
  if (!flags.options.config.empty()) return wrong("--config");
  if (!flags.options.runtime.empty()) return wrong("--runtime");
  return {};
}

Result<int> install(Session& session, Flags& flags, const std::string& program) {
  TRY(check_options(program, flags));
  if (program == kKubernetes) return install_classes(session, flags);
  flags.options.caller = TRY(parse_caller(program));
  flags.options.data_dir = session.data_dir();
  return carry_out(session, TRY_IN(plan_install(flags.options), "cannot install"), flags);
}

Result<int> uninstall(Session& session, Flags& flags, const std::string& program) {
  TRY(check_options(program, flags));
  if (program == kKubernetes) return uninstall_classes(session, flags);
  flags.options.caller = TRY(parse_caller(program));
  flags.options.data_dir = session.data_dir();
  return carry_out(session, TRY_IN(plan_uninstall(flags.options), "cannot uninstall"), flags);
}

void declare_common(Command& command, Flags& flags) {
  command.takes("docker|podman|containerd|cri-o|kubernetes", 1, 1, Completes::kNothing);
  command.flag("-y,--yes", flags.yes,
               "Do not ask; a daemon is left alone unless --restart is given");
  command.flag("--dry-run", flags.dry_run, "Show the change, and change nothing");
  command.flag("--restart", flags.restart,
               "Also have the daemon read it: Docker reloads, containerd and CRI-O restart");
  command.flag("--user", flags.options.for_user,
               "Podman: the configuration of the calling user, not of the host");
  command
      .value("--config", "FILE", flags.options.config, "Change this file instead of the usual one")
      .completed_by(Completes::kFile);
}

}  // namespace

Command make_install() {
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.description =
      "Registers trivet-oci as the runtimes trivet, trivet-microvm and trivet-wasm in the "
      "configuration of another program. The change is shown first. What else is in the file stays "
      "as it is, and `trivet uninstall` takes the change out again. On a host where trivet-oci "
      "can't run a container the name trivet stands for crun, or else runc, which a warning "
      "says.\n\n"
      "For kubernetes it prints RuntimeClasses, which a cluster needs once; each node needs "
      "containerd or cri-o.";
  declare_common(command, *flags);
  command.flag("--default", flags->options.as_default,
               "Make trivet what runs where nobody asks for a runtime");
  command
      .value("--runtime", "PATH", flags->options.runtime,
             "Register this program, and do not try whether it works here")
      .completed_by(Completes::kFile);
  command.flag("--apply", flags->apply, "Kubernetes: hand the RuntimeClasses to kubectl");
  command.example("trivet install docker", "Then `docker run --runtime trivet …`")
      .example("trivet install podman --user --default", "Podman's runtime, for this user")
      .example("trivet install containerd --yes --restart", "On a Kubernetes node, from a script")
      .example("trivet install kubernetes | kubectl apply -f -", "RuntimeClasses");
  command.action = [flags](Session& session, const Names& names) {
    return install(session, *flags, names.front());
  };
  return command;
}

Command make_uninstall() {
  Command command;
  const auto flags = std::make_shared<Flags>();
  command.description =
      "Takes out what `trivet install` has put into the configuration of another program. Where "
      "nobody has changed the file since, it becomes what it was, byte for byte; else only "
      "trivet's "
      "entries go.";
  declare_common(command, *flags);
  command.example("trivet uninstall docker", "As it was before");
  command.action = [flags](Session& session, const Names& names) {
    return uninstall(session, *flags, names.front());
  };
  return command;
}

}  // namespace trivet::cli
