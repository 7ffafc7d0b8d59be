#include "pod/remove.h"

#include <algorithm>
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

#include "base/failures.h"
#include "base/fs.h"
#include "linux/cgroup.h"
#include "net/network.h"

namespace trivet::pod {

namespace {

// Of a program whose end nobody saw: the code of SIGKILL.
constexpr int kUnseenExitCode = 137;

Result<> remove_container(const PodPaths& paths, const JournalContainer& container) {
  auto record = monitor::read_record(paths.directories, container.id);
  if (!record) {
    // Its creation was killed: it may have a directory and a name without a record.
    record = monitor::Record{};
    record->id = container.id;
    record->name = container.name;
  }
  return monitor::remove_container(paths.directories, *record);
}

// What the journal's first line says; without it, what the pod and its containers say themselves.
Result<JournalHead> find_head(const PodPaths& paths, const JournalContent& content) {
  if (content.head) return *content.head;
  JournalHead head{.id = paths.id};
  if (const auto record = read_pod_record(paths)) {
    head.name = record->name;
    head.cgroup_parent = record->cgroup_parent;
  }
  const auto ids = list_dir(AT_FDCWD, paths.directories.data + "/containers");
  if (!ids) return head;
  for (const std::string& id : *ids) {
    const auto record = monitor::read_record(paths.directories, id);
    if (record && record->pod == paths.id)
      head.containers.push_back({.id = id, .name = record->name});
  }
  return head;
}

// One that is not in the status yet: the supervisor was killed right after it was started.
Result<> stop_unknown_pasta(const PodPaths& paths) {
  const std::string name = pasta_name(paths);
  for (const std::string& entry : TRY(list_dir(AT_FDCWD, "/proc"))) {
    const auto pid = parse_int(entry);
    if (!pid) continue;
    const auto process = identify_process(static_cast<pid_t>(*pid));
    const auto command = read_file(fmt::format("/proc/{}/cmdline", entry), 1U << 20U);
    if (!process || !command || command->substr(0, command->find('\0')) != name) continue;
    TRY(net::stop_pasta(*process));
  }
  return {};
}

// What runs of the pod besides its containers.
void end_shell(const PodPaths& paths, const JournalHead& head, Failures& failures) {
  failures.add(container::Container::force_remove(paths.directories.engine(), paths.id));
  if (const auto status = read_pod_status(paths)) failures.add(net::stop_pasta(status->pasta));
  failures.add(stop_unknown_pasta(paths));
  if (head.cgroup_parent.empty()) return;
  if (const auto layout = cgroup::Layout::detect()) {
    cgroup::Cgroup::remove_unused(*layout, head.cgroup_parent, paths.id);
  }
}

// The journal is what tells of the rest, and goes last.
Result<> remove_directory(const PodPaths& paths) {
  for (const std::string& name : TRY(list_dir(AT_FDCWD, paths.data()))) {
    if (name != "journal") TRY(remove_tree(AT_FDCWD, paths.data() + "/" + name));
  }
  return remove_tree(AT_FDCWD, paths.data());
}

// The container's last status, if nobody has written it.
Result<> settle_container(const PodPaths& paths, const JournalContainer& container) {
  TRY(container::Container::force_remove(paths.directories.engine(), container.id));
  monitor::Status status = TRY(monitor::read_status(paths.directories, container.id));
  if (status.phase == monitor::Phase::kExited) return {};
  status.phase = monitor::Phase::kExited;
  status.exit_code = kUnseenExitCode;
  status.error = "its pod's monitor was killed";
  status.finished = std::chrono::system_clock::now();
  status.init = status.monitor = {};
  return monitor::write_status(paths.directories, container.id, status);
}

Result<> recover_pod(const PodPaths& paths) {
  const auto has_ended = [&] {
    const auto content = read_journal(paths);
    return content && content->committed && content->last == Step::kEnded;
  };
  if (is_held(paths) || has_ended()) return {};
  const auto journal = TRY(Journal::take(paths));
  if (!journal || has_ended()) return {};
  const JournalContent content = TRY(read_journal(paths));
  const bool whole = content.committed && content.last != Step::kRemoving;
  return whole ? end_lost_pod(paths, *journal) : remove_pod(paths, *journal);
}

}  // namespace

std::string pasta_name(const PodPaths& paths) {
  return paths.state() + "/pasta";
}

Result<> remove_pod(const PodPaths& paths, const Journal& journal) {
  const JournalContent content = TRY(read_journal(paths));
  TRY(journal.note(Step::kRemoving));
  const JournalHead head = TRY(find_head(paths, content));
  Failures failures;
  for (const JournalContainer& container : head.containers) {
    failures.add(remove_container(paths, container));
  }
  end_shell(paths, head, failures);
  if (!head.name.empty()) {
    failures.add(release_pod_name(paths.directories, head.name, paths.id));
  }
  failures.add(remove_tree(AT_FDCWD, paths.state()));
  TRY(std::move(failures).result());
  return remove_directory(paths);
}

Result<> end_lost_pod(const PodPaths& paths, const Journal& journal) {
  const JournalContent content = TRY(read_journal(paths));
  const JournalHead head = TRY(find_head(paths, content));
  Failures failures;
  for (const JournalContainer& container : head.containers) {
    failures.add(settle_container(paths, container));
  }
  end_shell(paths, head, failures);
  TRY(std::move(failures).result());
  PodStatus status = TRY(read_pod_status(paths));
  status.phase = PodPhase::kFailed;
  status.reason = "MonitorLost";
  status.message = "the pod's monitor was killed: its containers were ended";
  status.finished = std::chrono::system_clock::now();
  status.supervisor = status.infra = status.pasta = {};
  for (ContainerCondition& condition : status.containers) condition.ready = false;
  TRY(write_pod_status(paths, status));
  return journal.note(Step::kEnded);
}

Result<std::vector<std::string>> list_pod_ids(const monitor::Directories& directories) {
  auto names = list_dir(AT_FDCWD, directories.data + "/pods");
  if (!names && names.error().errnum() == ENOENT) return std::vector<std::string>();
  return names;
}

Result<> recover_pods(const monitor::Directories& directories) {
  Failures failures;
  for (const std::string& id : TRY(list_pod_ids(directories))) {
    failures.add(recover_pod({.directories = directories, .id = id}));
  }
  return std::move(failures).result();
}

}  // namespace trivet::pod
