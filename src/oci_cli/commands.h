// The verbs of trivet-oci.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "linux/cgroup.h"
#include "oci_cli/arguments.h"
#include "oci_cli/report.h"

namespace trivet::oci_cli {

struct Globals {
  std::string program_name;  // what it was called as: "trivet-oci", "krun", "crun-wasm"
  std::string root;          // state directory
  LogTarget log;
  cgroup::Driver cgroup_driver = cgroup::Driver::kCgroupfs;
};

// Each returns the exit code.
Result<int> command_create(const Globals& globals, const Arguments& arguments);
Result<int> command_run(const Globals& globals, const Arguments& arguments);
Result<int> command_start(const Globals& globals, const Arguments& arguments);
Result<int> command_state(const Globals& globals, const Arguments& arguments);
Result<int> command_kill(const Globals& globals, const Arguments& arguments);
Result<int> command_delete(const Globals& globals, const Arguments& arguments);
Result<int> command_exec(const Globals& globals, const Arguments& arguments);
Result<int> command_list(const Globals& globals, const Arguments& arguments);
Result<int> command_ps(const Globals& globals, const Arguments& arguments);
Result<int> command_pause(const Globals& globals, const Arguments& arguments);
Result<int> command_resume(const Globals& globals, const Arguments& arguments);
Result<int> command_update(const Globals& globals, const Arguments& arguments);
Result<int> command_events(const Globals& globals, const Arguments& arguments);
Result<int> command_features(const Globals& globals, const Arguments& arguments);
Result<int> command_checkpoint(const Globals& globals, const Arguments& arguments);
Result<int> command_restore(const Globals& globals, const Arguments& arguments);
Result<int> command_spec(const Globals& globals, const Arguments& arguments);

// Where compiled WebAssembly is kept.
[[nodiscard]] std::string wasm_cache_directory();

// Passes the caller's signals on to the process of `pidfd` and waits for its end; with `console` (a
// pty's master) it also relays the caller's terminal. The exit code, 128 + N for signal N.
Result<int> wait_in_foreground(int pidfd, int console);

// Blocks the signals that wait_in_foreground() forwards; call it before anything is started.
Result<> block_forwarded_signals();

}  // namespace trivet::oci_cli
