// The journal of a pod: each step is in it before it is done, so that whoever comes after a crash
// knows what may be there and undoes it.
//
// The first line names everything that the pod can consist of, because all ids are chosen before
// anything is made; then follows a line a step. It is locked, by an open file description lock
// (fcntl(2)), for as long as the library or the supervisor works on the pod; both share one
// description, so that there is no moment in between. The page cache keeps it through the death of
// any process; after that of the host nothing of a pod is left but its directories.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/record.h"

namespace trivet::pod {

struct JournalContainer {
  std::string id;
  std::string name;  // that it claims, "POD-CONTAINER"
};

struct JournalHead {
  std::string id;
  std::string name;
  std::string cgroup_parent;
  std::vector<JournalContainer> containers;
};

enum class Step {
  kFiles,      // directories and files of the pod, its volumes
  kContainer,  // a container's directory, name and files; subject: its name
  kInfra,      // the infra container
  kNetwork,    // pasta
  kCreate,     // a container up to its program; subject: its name
  kStart,      // the program of a container; subject: its name
  kRunning,    // all of it runs: from here on there is nothing to roll back
  kStopping,
  kEnded,     // nothing of it runs any more
  kRemoving,  // its files go
};
[[nodiscard]] const char* step_name(Step step);  // "files", …

class Journal {
 public:
  // Makes the pod's directory and its journal, which appear together and locked.
  static Result<Journal> begin(const PodPaths& paths, const JournalHead& head);
  // Of a descriptor that was inherited: the lock comes with it.
  static Journal adopt(UniqueFd fd) { return Journal(std::move(fd)); }
  // The lock of a pod that nobody works on; nothing when somebody does.
  static Result<std::optional<Journal>> take(const PodPaths& paths);

  Result<> note(Step step, std::string_view subject = "") const;
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  explicit Journal(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

struct JournalContent {
  std::optional<JournalHead> head;  // nothing: whoever made it ended before it was written
  Step last = Step::kFiles;
  bool committed = false;  // kRunning was reached
};
// Lines that are torn are left out.
Result<JournalContent> read_journal(const PodPaths& paths);

// Whether the library or a supervisor works on the pod.
[[nodiscard]] bool is_held(const PodPaths& paths);

// The claim on a pod's name: kAlreadyExists when another pod has it.
Result<> claim_pod_name(const monitor::Directories& directories, const std::string& name,
                        const std::string& id);
// Only if it is this pod's.
Result<> release_pod_name(const monitor::Directories& directories, const std::string& name,
                          const std::string& id);
// The pod that has it, if any.
[[nodiscard]] std::optional<std::string> find_pod_name(const monitor::Directories& directories,
                                                       const std::string& name);

}  // namespace trivet::pod
