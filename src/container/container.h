// The shell: the lifecycle of one container, whatever its payload (runtime-spec: runtime.md).
//
// A container is a directory STATE_ROOT/ID with state.json, a cgroup, and an init process that is a
// child of whoever called create(). Nothing else outlives a failed create(). All mounts live in the
// container's own mount namespace, so they go when its last process goes.
//
// Thread safety: distinct Container objects are independent; one object is used by one thread at a
// time. create() and exec() fork: call them with SIGCHLD not ignored.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "container/timing.h"
#include "linux/cgroup.h"
#include "linux/seccomp.h"
#include "oci/spec.h"
#include "oci/state.h"

namespace trivet::container {

enum class Status { kCreating, kCreated, kRunning, kPaused, kStopped };
[[nodiscard]] const char* status_name(Status status);  // "created", as in the specification

// 1 to 128 bytes of [A-Za-z0-9_+.-], not starting with '.' or '-': what runc and crun accept.
Result<> check_id(std::string_view id);

// A root file system that is put together inside the container's mount namespace.
struct OverlayRoot {
  std::vector<std::string> lower_directories;  // topmost first
  std::string upper_directory;                 // empty: nothing can be written
  std::string work_directory;
  // Nothing of the upper directory is needed once the container has ended, so that the kernel need
  // not write it to the disk then (the overlay's option "volatile").
  bool discarded = false;
};

// What the init process, or an exec'd one, gets as 0, 1 and 2. Not used with a terminal.
struct Stdio {
  int stdin_fd = 0;
  int stdout_fd = 1;
  int stderr_fd = 2;
};

// Executed instead of what process.args[0] names: the host of another payload. The arguments, the
// environment and everything else are those of the process.
struct Program {
  UniqueFd file;                      // may be O_PATH
  std::vector<UniqueFd> descriptors;  // stay open in it, with the numbers they have here
  std::vector<std::string> env;       // added to the process's

  // A program with a beginning of its own, which is part of create(): it is executed there, goes on
  // with the conversation of container/stage/plan.h where the stage leaves it (kReady when it is
  // created, then waits for start(), or kPayloadFailed), and has closed it when it is started. One
  // that is entered by exec() is not waited for: it closes it, or says kPayloadFailed.
  // These are two of `descriptors`, in whose place it gets the conversation and, where other
  // processes may start it, the listening start.sock.
  struct Conversation {
    int sync = -1;
    int listener = -1;
  };
  std::optional<Conversation> conversation = std::nullopt;

  // For a program whose root is not the container's: what those see who join its mount namespace
  // from outside and look for the container's files, as podman cp does. The first mount is a bind,
  // on "/"; the others are in it. The program has its own "/", but reaches it too, by "/..".
  std::vector<oci::Mount> shown = {};
};

struct CreateOptions {
  std::string state_root;  // "/run/trivet"; made when missing
  std::string id;
  std::string bundle;                  // absolute; spec.root.path is relative to it
  std::optional<OverlayRoot> overlay;  // instead of spec.root.path
  Stdio stdio;
  std::string console_socket;  // with process.terminal: where the pty's master is sent; empty: it
                               // is kept for take_console()
  std::string pid_file;
  std::string pidfd_socket;  // where a pidfd of the init is sent
  int preserve_fds = 0;      // descriptors 3 … 3+N-1 stay open in the container
  const Program* program = nullptr;
  bool no_pivot = false;
  bool no_new_keyring = false;
  cgroup::Driver cgroup_driver = cgroup::Driver::kCgroupfs;
  const cgroup::Layout* cgroup_layout = nullptr;      // known already, or it is detected
  std::string seccomp_cache;                          // directory; empty: no cache
  const seccomp::Program* seccomp_program = nullptr;  // instead of linux.seccomp: compiled already
  size_t max_containers = 1024;                       // in state_root; kLimitExceeded beyond it
  // The text of config.json, kept with the state; empty: it is printed from the spec.
  std::string_view config_json;
  // Whether start() can be called by other processes (`create` and `start` of the OCI runtime) or
  // only by the creator, which is faster.
  enum class StartBy { kAnyone, kCreator };
  StartBy start_by = StartBy::kAnyone;
  // Whether the program begins with all signals blocked: for an init that unblocks them or takes
  // them with sigwaitinfo(2). The kernel drops what comes to a PID 1 before it has a handler,
  // unless it is blocked.
  enum class SignalsAtStart { kDelivered, kBlocked };
  SignalsAtStart signals_at_start = SignalsAtStart::kDelivered;
  // One that nobody is in, of make_network_namespace(), to be the container's own in place of a new
  // one; -1: it is made. Root of a new user namespace has to own its network, and gets a new one.
  int network_namespace = -1;
  // What could not be granted and is no failure (capabilities this process lacks).
  std::function<void(const std::string&)> on_warning;
  // Receives what each step cost; measuring costs a few microseconds a step.
  Timing* timing = nullptr;
  // Called in the parent with the init's pid once its namespaces exist and while it goes on
  // mounting: the network is set up here. A failure fails create() and is rolled back.
  std::function<Result<>(pid_t)> on_namespaces;
};

struct ExecOptions {
  oci::Process process;
  Stdio stdio;
  std::string console_socket;  // as in CreateOptions
  std::string pid_file;
  std::string pidfd_socket;  // as in CreateOptions
  int preserve_fds = 0;
  const Program* program = nullptr;
  std::string seccomp_cache;                          // directory; empty: no cache
  const seccomp::Program* seccomp_program = nullptr;  // as in CreateOptions
  // What the container was created with, for a caller who has it still; otherwise it is read.
  const oci::Spec* shell = nullptr;
  std::string cgroup;  // a path below the container's cgroup; empty: the container's own
};

// A process that was put into a container. It is a child of the caller.
struct Started {
  pid_t pid = 0;
  UniqueFd pidfd;
  UniqueFd console;  // the pty's master, when there is a terminal and no console socket
};

class Container {
 public:
  // Everything up to the moment before the program is executed; the init waits for start().
  // Errors: kInvalidArgument (id, spec), kAlreadyExists, kLimitExceeded, kUnsupported (names the
  // field), kCommandNotFound and kCommandNotExecutable (process.args[0]).
  static Result<Container> create(const oci::Spec& spec, const CreateOptions& options);

  // What create() would do, a line an operation, without doing any of it.
  static Result<std::string> print_plan(const oci::Spec& spec, const CreateOptions& options);

  // kNotFound: `container "ID" does not exist`.
  static Result<Container> load(const std::string& state_root, const std::string& id);
  // Ids of everything in the state root, half-made ones included.
  static Result<std::vector<std::string>> list(const std::string& state_root);
  // Removes a state directory that create() could not finish (killed in between), with its cgroup
  // and processes. For `delete --force`. Missing is fine.
  static Result<> force_remove(const std::string& state_root, const std::string& id);

  Container(Container&&) noexcept = default;
  Container& operator=(Container&&) noexcept = default;
  Container(const Container&) = delete;
  Container& operator=(const Container&) = delete;
  ~Container() = default;

  [[nodiscard]] const std::string& id() const { return record_.id; }
  [[nodiscard]] const std::string& bundle() const { return record_.bundle; }
  // As it was asked for at creation; read from the state directory.
  Result<oci::Spec> load_spec() const;
  // What was given to create(): the same, unless the payload's shell is another (microVMs).
  Result<oci::Spec> load_shell() const;
  [[nodiscard]] const ProcessId& init() const { return record_.init; }
  [[nodiscard]] Timestamp created() const { return record_.created; }
  // Null when cgroups are disabled.
  [[nodiscard]] const cgroup::Cgroup* cgroup() const { return cgroup_ ? &*cgroup_ : nullptr; }
  // Looked up now: a container whose init is gone is stopped.
  [[nodiscard]] Status status() const;
  [[nodiscard]] oci::State state() const;

  // Receives what is no failure: poststop hooks that failed.
  void on_warning(std::function<void(const std::string&)> sink) { warn_ = std::move(sink); }

  // Lets the program run. kWrongState unless created; returns when the program was executed (or
  // could not be: kCommandNotFound, kCommandNotExecutable; the container is then stopped). A hook
  // that fails is an error too, and the container is then removed. `timing` receives what the
  // program's init did meanwhile, if it was created with a timing.
  Result<> start(Timing* timing = nullptr);
  // kWrongState when it is stopped ("container not running").
  Result<> kill(int signal);
  Result<> kill_all(int signal);
  Result<> pause();
  Result<> resume();
  Result<> update(const oci::Resources& resources);
  // The container's share of cache and memory bandwidth, L3 and MB lines as linux.intelRdt has
  // them; an empty one stays. One that was made without intelRdt joins a group of its own now.
  Result<> update_rdt(const std::string& l3_cache_schema, const std::string& mem_bw_schema);
  Result<Started> exec(const ExecOptions& options) const;
  Result<std::vector<pid_t>> processes() const;
  Result<cgroup::Stats> stats() const;

  // Removes every trace. A running one is kWrongState unless forced, which kills it first; a
  // created one is killed either way. Reaps the init if it is our child. Does nothing after start()
  // has removed it.
  enum class Force { kNo, kYes };
  Result<> remove(Force force);

  // Of the process that called create(): the init as a child to wait for, and the pty's master.
  [[nodiscard]] int init_pidfd() const { return init_pidfd_.get(); }
  [[nodiscard]] UniqueFd take_console() { return std::move(console_); }

  // What state.json holds.
  struct Record {
    std::string id;
    std::string bundle;
    std::string rootfs;
    ProcessId init;
    Timestamp created{};
    cgroup::Driver cgroup_driver = cgroup::Driver::kCgroupfs;
    std::optional<cgroup::Paths> cgroup_paths;  // nothing: disabled
    std::map<std::string, std::string> annotations;
    bool has_hooks = false;
    bool has_process = true;  // otherwise it can't be started
    bool own_shell = false;   // what it runs in is not what config.json says: see load_shell()
    std::vector<std::string> resctrl_groups;  // made for it
    uint64_t root_mount = 0;  // of the root in our own mount namespace; 0: it has one of its own
  };

 private:
  Container(std::string state_directory, Record record);
  Result<> follow_start(int conversation, Timing* timing) const;

  friend class Creation;

  // Takes the cgroup away when the program could not be started: not every engine deletes the
  // container then (Docker 20.10 may not).
  [[nodiscard]] Error abandon_start(Error cause) const;
  // start() after a hook failed: the cause, with what went wrong on removal as a note.
  Error destroy_after(Error cause);

  std::string state_directory_;  // empty once it is removed
  Record record_;
  std::function<void(const std::string&)> warn_;
  std::optional<cgroup::Cgroup> cgroup_;
  UniqueFd init_pidfd_;
  UniqueFd console_;
  UniqueFd start_socket_;  // in the creating process: start() without a look at the directory
  std::string program_;    // in the creating process: process.args[0], for the words of start()
};

}  // namespace trivet::container
