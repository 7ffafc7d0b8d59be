// Registering trivet-oci as a runtime of Docker, Podman, containerd and CRI-O, and taking it out
// again: what `trivet install` and `trivet uninstall` are written on.
//
// A plan is made first: it reads files and changes nothing. Applying it writes each file as a
// whole, so that a reader, and a host that loses power, sees the old one or the new one. What a
// file was before is kept below the data directory until it is taken out again. All functions may
// be called from several threads and processes; applying is serialized by a lock.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/export.h"
#include "trivet/result.h"

namespace trivet {

// The programs that can be told to use trivet-oci.
enum class Caller {
  kDocker,      // dockerd
  kPodman,      // and Buildah, which reads the same files
  kContainerd,  // its CRI plugin, for Kubernetes
  kCrio,        // CRI-O
};

// "docker", "podman", "containerd", "cri-o". kInvalidArgument names the known ones.
TRIVET_API Result<Caller> parse_caller(std::string_view name);
// The same the other way round.
[[nodiscard]] TRIVET_API std::string_view caller_name(Caller caller);

// A name by which a caller knows a runtime, and the program behind it.
struct Handler {
  std::string name;  // "trivet", "trivet-microvm", "trivet-wasm"
  std::string path;  // absolute

  // The same name and the same program.
  friend bool operator==(const Handler&, const Handler&) = default;
};

// What to register, and where.
struct InstallOptions {
  // Whose configuration.
  Caller caller = Caller::kDocker;
  // What runs where nobody asks for a runtime.
  bool as_default = false;
  // Podman only: the configuration of the user who calls, not of the host.
  bool for_user = false;
  // The file to change; empty: the caller's own, such as /etc/docker/daemon.json.
  std::string config;
  // The runtime to register; empty: the first of trivet-oci, crun and runc that works here. A path
  // is taken as it is, without a trial.
  std::string runtime;
  // Where what is needed to undo is kept; empty: /var/lib/trivet or ~/.local/share/trivet.
  std::string data_dir;
};

// A file before and after; nothing: there is no such file.
struct FileChange {
  std::string path;                   // absolute
  std::optional<std::string> before;  // its bytes when the plan was made
  std::optional<std::string> after;   // its bytes once the plan is applied
};

// A symbolic link that trivet makes, or removes, below its own data directory: the names by which
// trivet-oci knows that it shall make microVMs or run WebAssembly.
struct LinkChange {
  std::string path;    // of the link
  std::string target;  // what it leads to; empty when it is removed
};

// Everything that would be done, as values; made by plan_install() and plan_uninstall().
struct TRIVET_API InstallPlan {
  // Whose configuration.
  Caller caller = Caller::kDocker;
  // Taking out, not putting in.
  bool removes = false;
  // The one file of the caller.
  FileChange file;
  // What uninstalling puts back; nothing: there was no file.
  std::optional<std::string> original;
  // Those that are missing; of a plan that removes, those that nobody needs any more.
  std::vector<LinkChange> links;
  // What is registered, the default first.
  std::vector<Handler> handlers;
  // What should be known before it is agreed to, such as a runtime that took trivet-oci's place.
  std::vector<std::string> warnings;
  InstallOptions options;  // as given, with the defaults filled in
  // The file says it already.
  [[nodiscard]] bool empty() const {
    return !removes && file.before == file.after && links.empty();
  }
  // The change as a unified diff with three lines of context, and a line for each link.
  [[nodiscard]] std::string diff() const;
};

// What registering would change. kCorrupt with line and column for a file that its caller would not
// read; kAlreadyExists when one of the names stands for something else; kPermissionDenied when the
// file, or the directory, is not the calling user's to change, or everybody's; kUnsupported for
// symbolic links and what else is no ordinary file.
TRIVET_API Result<InstallPlan> plan_install(const InstallOptions& options);

// What taking it out would change: the file as it was before, byte for byte, when nobody has
// changed it since; otherwise the file as it is now without the entries that were put in. kNotFound
// when nothing was registered there.
TRIVET_API Result<InstallPlan> plan_uninstall(const InstallOptions& options);

// Does it. A failure leaves everything as it was before; kWrongState when the file has changed
// since the plan was made.
TRIVET_API Result<> apply_plan(const InstallPlan& plan);

// How the caller comes to see the change.
struct Activation {
  // Empty: it reads its configuration each time, or does not run.
  std::vector<std::string> command;
  // The daemon to send SIGHUP to where there is no service manager; 0: none.
  int pid = 0;
  // For people: "systemctl reload docker".
  std::string text;
  // Restarting leaves containers running, but the daemon is away for a moment.
  bool restarts = false;
};
// Looks at processes, and changes nothing.
TRIVET_API Result<Activation> find_activation(const InstallPlan& plan);
// Runs the command or sends the signal. kSystem with what the command said when it failed.
TRIVET_API Result<> activate(const Activation& activation);

// One that works on this host, and why those before it do not.
struct RuntimeChoice {
  std::string name;                      // "trivet-oci"
  std::string path;                      // absolute
  std::vector<std::string> passed_over;  // `trivet-oci: REASON`
};

// The first of `candidates` (names, looked for beside this program and in PATH, or paths) by which
// a container could be run: one is run, from a root file system of one static program, within some
// milliseconds, and nothing is left of it. Empty: trivet-oci, crun, runc. kNotFound with what was
// wrong with each when none works; then no container can be run here. Without the right to run
// containers as root it looks only whether the programs start.
TRIVET_API Result<RuntimeChoice> choose_runtime(const std::vector<std::string>& candidates = {});

// Kubernetes: a RuntimeClass for each handler, as YAML for `kubectl apply -f -`.
[[nodiscard]] TRIVET_API std::string runtime_class_manifests();
// Runs kubectl, with its own configuration, to apply them. What it printed; kNotFound without
// kubectl, kSystem with its words when it failed.
TRIVET_API Result<std::string> apply_runtime_classes();
// The same, for deleting; what is not there is fine.
TRIVET_API Result<std::string> delete_runtime_classes();

}  // namespace trivet
