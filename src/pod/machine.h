// The machine of a pod that is one microVM: its infra container is the machine, and all others are
// in there.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "net/network.h"
#include "payload/prepare.h"
#include "pod/record.h"

namespace trivet::pod {

class Machine {
 public:
  // Reads what the pod's containers are, and makes nothing.
  static Result<Machine> load(const PodPaths& paths, const PodRecord& record);

  struct Start {
    oci::Spec infra;                      // plan_infra()
    int channel = -1;                     // the infra container's end; stays the caller's
    std::vector<net::PortMapping> ports;  // with host ports chosen
    bool network_waits = false;           // for start_network()
  };
  // The infra container, created: the machine has booted, and its program waits to be started.
  // Nothing is left of a failure.
  Result<container::Container> create(const Start& start);

  // Once, after create() with Start::network_waits: what the machine has sent so far was kept for
  // it.
  Result<> start_network(const std::vector<net::PortMapping>& ports);

  // The process behind its network; pid 0: it has none.
  [[nodiscard]] const ProcessId& passt() const { return passt_; }
  // The place of a container, by its index in the record; valid once the machine is created, and
  // as long as this object.
  [[nodiscard]] const payload::MachineSeat* seat(size_t index) const { return &seats_.at(index); }
  // Why it has ended, if not by itself; empty.
  [[nodiscard]] std::string last_words() const;

 private:
  struct Source {
    oci::Spec spec;
    monitor::Record record;
  };
  Machine(const PodPaths& paths, const PodRecord& record) : paths_(paths), record_(&record) {}
  Result<container::Container> try_create(const Start& start);
  Result<payload::Prepared> prepare(const Start& start);
  Result<> add_network(const Start& start, payload::VmRequest& request);
  [[nodiscard]] payload::microvm::PodSource describe() const;

  PodPaths paths_;
  const PodRecord* record_;
  std::deque<Source> sources_;
  UniqueFd report_;
  UniqueFd network_;       // the machine's end of a pair
  UniqueFd passt_socket_;  // the other one, until passt has it
  ProcessId passt_;
  bool boots_ = false;  // without a template: one did not come back
  std::vector<payload::microvm::Member> members_;
  std::vector<payload::MachineSeat> seats_;
};

}  // namespace trivet::pod
