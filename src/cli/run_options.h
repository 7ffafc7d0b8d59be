// The options of `trivet run` and `trivet create`, in Docker's and Podman's spelling.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "cli/values.h"
#include "trivet/engine.h"

namespace trivet::cli {

// What the options say before they are checked against each other.
struct RunFlags {
  RunOptions run;
  bool quiet = false;
  std::optional<CpuTime> cpus;     // --cpus
  std::optional<CpuTime> cpu_max;  // --cpu
};

// Declares the options on `command`, stored in `flags`, which must outlive it.
void declare_run_options(Command& command, RunFlags& flags);

// The finished options: IMAGE and the command taken from `arguments`, conflicts refused.
Result<RunOptions> finish_run_options(const RunFlags& flags, std::vector<std::string> arguments);

// Of `run` and `device ls`: where files of CDI are; absolute when they are stored.
void declare_cdi_spec_dirs(Command& command, std::vector<std::string>& directories);

// Options that `pull`, `push` and `run` share: credentials, TLS.
void declare_transfer_options(Command& command, TransferOptions& options);

}  // namespace trivet::cli
