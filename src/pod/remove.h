// How a pod goes, in order or after a crash. Everything is found from the journal, whatever state
// it is in: the same code rolls back a pod that could not start, finishes after a kill -9, and
// serves `pod rm`.
#pragma once

#include "base/result.h"
#include "pod/journal.h"
#include "pod/record.h"

namespace trivet::pod {

// Kills what runs of it and removes every trace: containers, infra container, network, cgroups,
// names, directories; the directory with the journal goes last, so that it can be repeated. The
// caller holds the journal.
Result<> remove_pod(const PodPaths& paths, const Journal& journal);

// Ends what is left of a pod that ran and whose supervisor was killed, and notes why it ended; its
// records and logs stay. The caller holds the journal.
Result<> end_lost_pod(const PodPaths& paths, const Journal& journal);

// Finishes what a crash has interrupted, for every pod that nobody works on. Quick when there is
// nothing to do.
Result<> recover_pods(const monitor::Directories& directories);

// Ids of all pods.
Result<std::vector<std::string>> list_pod_ids(const monitor::Directories& directories);

// What a process of pasta that belongs to the pod has as its argv[0].
[[nodiscard]] std::string pasta_name(const PodPaths& paths);

}  // namespace trivet::pod
