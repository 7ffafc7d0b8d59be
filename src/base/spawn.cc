#include "base/spawn.h"

#include <csignal>
#include <spawn.h>
#include <unistd.h>

namespace trivet {

namespace {

// posix_spawn(3) does not write to them.
std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Result<pid_t> spawn_program(const std::vector<std::string>& argv,
                            const std::vector<std::string>& environment, const StandardFds& fds) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fds.in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fds.out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fds.err, STDERR_FILENO);
  // Not all of the process's descriptors are ours and close-on-exec: one end of a pipe of the
  // caller's in a program that stays would keep its other end waiting.
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t set;
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes, &set);
  // Who ignores SIGPIPE does it for itself: a program whose reader has gone shall end.
  sigaddset(&set, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &set);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::vector<char*> words = pointers_to(argv);
  std::vector<char*> entries = pointers_to(environment);
  pid_t pid = -1;
  const int failure = posix_spawnp(&pid, words[0], &actions, &attributes, words.data(),
                                   environment.empty() ? environ : entries.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure == ENOENT) {
    return fail(ErrorCode::kCommandNotFound, "run \"{}\": program not found", argv[0]);
  }
  if (failure != 0) {
    return std::unexpected(Error::from_errno(failure, fmt::format("run \"{}\"", argv[0])));
  }
  return pid;
}

}  // namespace trivet
