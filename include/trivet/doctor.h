// What this host can do for containers, tried out rather than looked up.
#pragma once

#include <string>
#include <vector>

#include "trivet/export.h"
#include "trivet/result.h"

namespace trivet {

// One thing that was tried.
struct DoctorCheck {
  // How it went.
  enum class State {
    kOk,       // it works
    kMissing,  // it is not there
    kBroken,   // it is there, and does not work
  };
  std::string name;          // "cgroups"; stable
  std::string purpose;       // what it is for
  bool required = false;     // no native container without it
  State state = State::kOk;  // how it went
  std::string found;         // what was seen: a version, a path, a mode
  std::string cause;         // why it is not kOk; empty if it is
  std::string fix;           // what to type or to do; empty where nothing helps
};
// "ok", "missing", "broken".
[[nodiscard]] TRIVET_API const char* doctor_state_name(DoctorCheck::State state);

// Where things are looked at.
struct DoctorOptions {
  std::string data_dir;  // absolute; it need not exist
};

// Makes and removes a cgroup, namespaces, mounts and files of its own, in child processes that have
// a limit on their time; nothing of it stays. Takes some 100 ms, and a few seconds where things
// hang. For root and for ordinary users. Forks: to be called while no other thread holds a lock.
[[nodiscard]] TRIVET_API std::vector<DoctorCheck> examine_host(const DoctorOptions& options);

// Whether all that is required is kOk.
[[nodiscard]] TRIVET_API bool can_run_containers(const std::vector<DoctorCheck>& checks);

}  // namespace trivet
