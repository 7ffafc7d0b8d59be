// Tables: the global options and the commands with theirs.
#include "oci_cli/arguments.h"

namespace trivet::oci_cli {

namespace {

constexpr size_t kAny = 1024;

std::vector<OptionSpec> create_options() {
  return {{"bundle", 'b', "DIR", "the bundle; the current directory by default"},
          {"config", 'f', "FILE", "read this instead of config.json of the bundle"},
          {"console-socket", 0, "PATH", "where the terminal's master is sent"},
          {"pid-file", 0, "FILE", "write the init's pid there"},
          {"no-pivot", 0, nullptr, "do not use pivot_root(2): for a root on ramfs"},
          {"no-new-keyring", 0, nullptr, "keep the caller's session keyring"},
          {"preserve-fds", 0, "N", "pass 3 … 3+N-1 to the container"},
          {"pidfd-socket", 0, "PATH", "where a pidfd of the init is sent"},
          {"isolation", 0, "NAME", "auto, native, microvm or wasm; else annotations decide"},
          {"experimental", 0, nullptr, "allow microvm, which is not yet ripe"},
          {"timing", 0, "FORMAT", "print to stderr what each step cost: \"text\" or \"json\""},
          {"dry-run", 0, nullptr, "print what would be done, and do nothing"},
          {"help", 'h', nullptr, "this text"}};
}

std::vector<OptionSpec> run_options() {
  std::vector<OptionSpec> options = create_options();
  options.insert(options.end() - 1, {{"detach", 'd', nullptr, "return as soon as it runs"},
                                     {"keep", 0, nullptr, "do not delete it when it ends"},
                                     {"no-subreaper", 0, nullptr, "accepted for compatibility"}});
  return options;
}

std::vector<OptionSpec> exec_options() {
  return {{"process", 'p', "FILE", "the process as JSON"},
          {"tty", 't', nullptr, "give it a terminal"},
          {"console-socket", 0, "PATH", "where the terminal's master is sent"},
          {"cwd", 0, "DIR", "working directory"},
          {"env", 'e', "NAME=VALUE", "add to the environment; may be repeated"},
          {"user", 'u', "UID[:GID]", "run as this user"},
          {"additional-gids", 'g', "GID", "further group; may be repeated"},
          {"detach", 'd', nullptr, "return as soon as it runs"},
          {"pid-file", 0, "FILE", "write the pid there"},
          {"process-label", 0, "LABEL", "SELinux label"},
          {"apparmor", 0, "PROFILE", "AppArmor profile"},
          {"no-new-privs", 0, nullptr, "set no_new_privs"},
          {"cap", 'c', "CAP", "add a capability; may be repeated"},
          {"preserve-fds", 0, "N", "pass 3 … 3+N-1 to the process"},
          {"pidfd-socket", 0, "PATH", "where a pidfd of the process is sent"},
          {"cgroup", 0, "PATH", "below the container's cgroup"},
          {"invoke", 0, "FUNCTION", "WebAssembly: call this exported function"},
          {"ignore-paused", 0, nullptr, "accepted for compatibility"},
          {"help", 'h', nullptr, "this text"}};
}

std::vector<OptionSpec> update_options() {
  return {{"resources", 'r', "FILE", "linux.resources as JSON, - for standard input"},
          {"blkio-weight", 0, "N", "block I/O weight"},
          {"cpu-period", 0, "USEC", "CPU period"},
          {"cpu-quota", 0, "USEC", "CPU time in a period"},
          {"cpu-burst", 0, "USEC", "CPU time that may be saved up"},
          {"cpu-share", 0, "N", "CPU shares"},
          {"cpu-rt-period", 0, "USEC", "realtime period"},
          {"cpu-rt-runtime", 0, "USEC", "realtime runtime"},
          {"cpuset-cpus", 0, "LIST", "CPUs"},
          {"cpuset-mems", 0, "LIST", "memory nodes"},
          {"cpu-idle", 0, "N", "1: only otherwise idle CPU time"},
          {"memory", 0, "BYTES", "memory limit"},
          {"memory-reservation", 0, "BYTES", "soft memory limit"},
          {"memory-swap", 0, "BYTES", "memory plus swap"},
          {"kernel-memory", 0, "BYTES", "accepted for compatibility; no effect on current kernels"},
          {"kernel-memory-tcp", 0, "BYTES", "TCP buffer limit (cgroup v1)"},
          {"pids-limit", 0, "N", "number of tasks"},
          {"l3-cache-schema", 0, "SCHEMA", "share of the L3 cache, as \"L3:0=f;1=f\" (Intel RDT)"},
          {"mem-bw-schema", 0, "SCHEMA", "share of the memory bandwidth, as \"MB:0=70;1=20\""},
          {"help", 'h', nullptr, "this text"}};
}

// Both ways; the two have some to themselves.
std::vector<OptionSpec> image_options() {
  return {{"image-path", 0, "DIR", "where the image is; \"checkpoint\" by default"},
          {"work-path", 0, "DIR", "where CRIU writes its log; the image by default"},
          {"tcp-established", 0, nullptr, "with connections that are open"},
          {"ext-unix-sk", 0, nullptr, "with Unix sockets that reach outside"},
          {"shell-job", 0, nullptr, "with a terminal of the caller's"},
          {"file-locks", 0, nullptr, "with file locks"},
          {"link-remap", 0, nullptr, "with open files that were removed"},
          {"manage-cgroups-mode", 0, "MODE",
           "what CRIU does with cgroups: \"ignore\" (default), \"soft\", \"full\" or \"strict\""},
          {"empty-ns", 0, "NAMESPACE", "\"network\": without what is in it"},
          {"auto-dedup", 0, nullptr, "drop pages of parents that are not needed"},
          {"lazy-pages", 0, nullptr, "not supported"}};
}

std::vector<OptionSpec> checkpoint_options() {
  std::vector<OptionSpec> options = image_options();
  options.insert(options.end(),
                 {{"leave-running", 0, nullptr, "let the container go on"},
                  {"parent-path", 0, "DIR", "an earlier image, relative to this one"},
                  {"pre-dump", 0, nullptr, "only memory, as a parent of an image to come"},
                  {"page-server", 0, "ADDRESS:PORT", "send memory to a \"criu page-server\""},
                  {"tcp-skip-in-flight", 0, nullptr, "without connections that are being made"},
                  {"status-fd", 0, "FD", "not supported, since it goes with --lazy-pages"},
                  {"help", 'h', nullptr, "this text"}});
  return options;
}

std::vector<OptionSpec> restore_options() {
  std::vector<OptionSpec> options = image_options();
  options.insert(options.end(),
                 {{"bundle", 'b', "DIR", "the bundle; the current directory by default"},
                  {"config", 'f', "FILE", "read this instead of config.json of the bundle"},
                  {"console-socket", 0, "PATH", "where the terminal's master is sent"},
                  {"detach", 'd', nullptr, "return as soon as it runs"},
                  {"pid-file", 0, "FILE", "write the init's pid there"},
                  {"pidfd-socket", 0, "PATH", "where a pidfd of the init is sent"},
                  {"no-pivot", 0, nullptr, "accepted for compatibility"},
                  {"no-new-keyring", 0, nullptr, "accepted for compatibility"},
                  {"no-subreaper", 0, nullptr, "accepted for compatibility"},
                  {"tcp-close", 0, nullptr, "with connections closed that were open"},
                  {"lsm-profile", 0, "TYPE:NAME", "another LSM profile than the image's"},
                  {"lsm-mount-context", 0, "CONTEXT", "another mount context than the image's"},
                  {"help", 'h', nullptr, "this text"}});
  return options;
}

const OptionSpec kRegex{"regex", 'r', nullptr,
                        "ID is a regular expression: every container that it matches"};
const OptionSpec kHelp{"help", 'h', nullptr, "this text"};

}  // namespace

const std::vector<OptionSpec>& global_options() {
  static const std::vector<OptionSpec> kOptions{
      {"root", 0, "DIR", "the state directory"},
      {"log", 0, "FILE", "append log messages and errors there"},
      {"log-format", 0, "FORMAT", "\"text\" or \"json\""},
      {"log-level", 0, "LEVEL", "debug, info, warning or error"},
      {"debug", 0, nullptr, "the same as --log-level debug"},
      {"systemd-cgroup", 0, nullptr, "the same as --cgroup-manager systemd"},
      {"cgroup-manager", 0, "NAME", "cgroupfs, systemd or disabled"},
      {"rootless", 0, "BOOL", "true, false or auto: accepted for compatibility"},
      {"version", 'v', nullptr, "print the version"},
      {"help", 'h', nullptr, "this text"}};
  return kOptions;
}

const std::vector<CommandSpec>& commands() {
  static const std::vector<CommandSpec> kTable{
      {"create", "ID", 1, 1, "make a container from a bundle; it waits for start",
       create_options()},
      {"start", "ID", 1, 1, "run the program of a created container", {kHelp}},
      {"run", "ID", 1, 1, "create and start a container, and wait for it", run_options()},
      {"state", "ID", 1, 1, "print a container's state as JSON", {kHelp}},
      {"kill",
       "ID [SIGNAL]",
       1,
       2,
       "send a signal, TERM by default",
       {{"all", 'a', nullptr, "to every process of the container"}, kRegex, kHelp}},
      {"delete",
       "ID",
       1,
       1,
       "remove a stopped container",
       {{"force", 'f', nullptr, "also a running one, which is killed; a missing one is fine"},
        kRegex,
        kHelp}},
      {"exec", "ID COMMAND [ARG…]", 1, kAny, "run a further process in a container",
       exec_options()},
      {"list",
       "",
       0,
       0,
       "print the containers of the state directory",
       {{"format", 'f', "FORMAT", "\"table\" or \"json\""},
        {"quiet", 'q', nullptr, "ids only"},
        kHelp}},
      {"ps",
       "ID [PS OPTIONS]",
       1,
       kAny,
       "print the processes of a container",
       {{"format", 'f', "FORMAT", "\"table\" or \"json\" (pids)"}, kHelp}},
      {"pause", "ID", 1, 1, "freeze a container", {kHelp}},
      {"resume", "ID", 1, 1, "thaw a container", {kHelp}},
      {"update", "ID", 1, 1, "change a container's limits", update_options()},
      {"events",
       "ID",
       1,
       1,
       "print a container's statistics and OOM kills as JSON lines until it ends",
       {{"stats", 0, nullptr, "print the statistics once"},
        {"interval", 0, "DURATION", "time between statistics (default 5s)"},
        kHelp}},
      {"checkpoint", "ID", 1, 1, "write an image of a container's processes with CRIU",
       checkpoint_options()},
      {"restore", "ID", 1, 1, "make a container from a bundle and an image of its processes",
       restore_options()},
      {"features", "", 0, 0, "print what this runtime can do as JSON", {kHelp}},
      {"spec",
       "",
       0,
       0,
       "write an example config.json",
       {{"bundle", 'b', "DIR", "where to"},
        {"rootless", 0, nullptr, "for an ordinary user"},
        kHelp}},
  };
  return kTable;
}

}  // namespace trivet::oci_cli
