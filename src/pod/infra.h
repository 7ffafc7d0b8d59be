// The infra container: a static program that holds the pod's namespaces, reaps what is left to it
// (as PID 1 of a shared pid namespace), and runs extensions. This is what the supervisor says to it
// and hears from it: JSON documents, one a line, over one stream socket that it inherits as
// descriptor 3. The same program runs in a pod's microVM.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/record.h"

namespace trivet::pod {

// What happens in the pod, for extensions.
struct Event {
  enum class Kind { kStarted, kExited, kHealthy, kUnhealthy, kStopping };
  Kind kind = Kind::kStarted;
  std::string container;  // its name; empty with kStopping
  int exit_code = 0;      // kExited
};

// A container's numbers, as an extension may ask for them.
struct ContainerNumbers {
  std::string name;
  bool running = false;
  int restarts = 0;
  uint64_t cpu_usage_ns = 0;
  uint64_t memory_usage = 0;  // bytes
  uint64_t memory_limit = 0;  // bytes; 0: none
  uint64_t pids = 0;
};

// The supervisor's side. One thread, on its loop.
class InfraChannel {
 public:
  struct Handlers {
    // An extension asks for a port while it starts: the host's port (0: any) that leads to `guest`.
    // Returns the host's port. After the network is up it is an error.
    std::function<Result<uint16_t>(const std::string& protocol, uint16_t host, uint16_t guest)>
        request_port;
    std::function<std::vector<ContainerNumbers>()> numbers;
    // An extension has ended or misbehaved; it is not started again.
    std::function<void(const std::string& extension, const std::string& message)> extension_failed;
  };

  // `socket` is this side's end.
  InfraChannel(EventLoop& loop, UniqueFd socket, Handlers handlers);
  ~InfraChannel();
  InfraChannel(const InfraChannel&) = delete;
  InfraChannel& operator=(const InfraChannel&) = delete;

  // Has the extensions started and waits until each has returned from on_start, while it serves
  // their requests: the network does not exist yet. An error names the extension.
  Result<> start_extensions(const PodRecord& record, std::chrono::milliseconds timeout);
  // Best effort: a lost infra container shows by its end.
  void send(const Event& event);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What the infra container's OCI spec has to have so that extensions can run in it: bind mounts of
// their files and of what shared libraries need. Pure.
Result<> plan_infra_mounts(const std::vector<Extension>& extensions, oci::Spec& spec);

}  // namespace trivet::pod
