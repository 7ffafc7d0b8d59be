// The bytes between a caller's streams and a child process, until that has ended or must end. For
// library calls: no signal of the process is forwarded, none of its settings is changed.
#pragma once

#include <functional>
#include <string_view>
#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "trivet/exec.h"

namespace trivet {

// Our ends of the pipes that are the child's 0, 1 and 2; invalid where it has none.
struct ChildPipes {
  UniqueFd stdin_fd;
  UniqueFd stdout_fd;
  UniqueFd stderr_fd;
};

// The child's ends, to be closed as soon as the child has them.
struct PipePairs {
  ChildPipes ours;
  ChildPipes childs;
};
// Pipes for what `stdio` connects; /dev/null for an input that is empty.
Result<PipePairs> make_child_pipes(const ExecStdio& stdio);

// For a child that stands in for a process elsewhere.
struct ChildHooks {
  // How it is told to end, and how it is made to, instead of SIGTERM and SIGKILL. They may not
  // block.
  std::function<void()> terminate;
  std::function<void()> kill;
  // The process group that a child which is no stand-in leads; 0: none. What is left of it when the
  // child had to end is killed.
  pid_t group = 0;
  // Sees what the child writes to its stderr, before the caller does.
  std::function<void(std::string_view)> on_stderr;
};

// Returns the exit code when the child has ended and its output has been delivered; reaps it. At
// the command's timeout, its stop, or an error of one of the caller's streams the child gets
// SIGTERM, two seconds later SIGKILL, and the call fails once it has ended.
Result<int> carry_streams(ChildPipes pipes, int pidfd, const ExecCommand& command,
                          const ExecStdio& stdio, const ChildHooks& hooks = {});

}  // namespace trivet
