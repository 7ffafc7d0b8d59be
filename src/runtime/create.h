// A container that exists on disk but does not run.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runtime/home.h"
#include "runtime/plan.h"
#include "trivet/engine.h"

namespace trivet::runtime {

// Checks everything, then makes the container's directory, name, volumes and files. A failure
// leaves nothing of it behind (an image that was pulled stays). `joins_now` is for run(): the
// namespaces of other containers are looked up at once, so that config.json is written only once.
// `id` is a new one of make_id().
enum class ResolveJoins { kNow, kAtStart };
Result<monitor::Record> create_container(const Home& home, const RunOptions& options,
                                         ResolveJoins when, const std::string& id);

// The same for a container of a pod, which only the pod's supervisor starts.
struct PodMember {
  const PodShell& pod;
  bool must_not_be_root = false;
};
Result<monitor::Record> create_pod_container(const Home& home, const RunOptions& options,
                                             const std::string& id, const PodMember& member);

// hosts and resolv.conf of a container or a pod, in its directory.
Result<> write_network_files(int directory, const net::HostsOptions& hosts, net::Mode network,
                             const net::DnsOptions& dns);

// While the descriptor is open no container is being made: a directory without a record is what a
// creation left that was killed. Invalid when one is being made; creations wait meanwhile.
[[nodiscard]] UniqueFd try_pause_creations(const Home& home);

// Fills in the paths of namespaces that belong to other containers; each must run. `joins` comes
// from the plan, or from a record by stored_joins().
Result<> apply_joins(const Home& home, const std::vector<Join>& joins, oci::Spec& spec);

// Removes every trace; `volumes` decides about the anonymous ones. No monitor may be alive.
enum class AnonymousVolumes { kKeep, kRemove };
Result<> erase_container(const Home& home, monitor::Record record, AnonymousVolumes volumes);

}  // namespace trivet::runtime
