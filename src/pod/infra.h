// The infra container: a static program, trivet-infra, that holds the pod's namespaces, reaps what
// is left to it (as PID 1 of a shared pid namespace), and runs extensions. This is how it is
// planned, and what the supervisor says to it and hears from it: JSON documents, one a line
// (extension_message.h), over one stream socket. The same program runs in a pod's microVM.
//
// The supervisor executes it by descriptor, as container::Program, in a container of the
// specification that plan_infra() makes: Program::descriptors holds the program's end of the
// socket, and Program::env `infra_environment(fd)`, which tells it the number. It should begin with
// all signals blocked (SignalsAtStart::kBlocked), so that no SIGTERM is lost. With extensions there
// is a seccomp profile, which CreateOptions::seccomp_cache makes cheap.
//
// It ends on SIGTERM, and when the other end of its socket is closed: a supervisor that has died
// leaves no pod behind. With PID 1 the kernel ends everything else in its pid namespace.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/spec.h"
#include "pod/extension_message.h"
#include "pod/record.h"

namespace trivet::pod {

// ---------------------------------------------------------------- the plan

inline constexpr const char* kInfraSocketVariable = "TRIVET_INFRA_SOCKET";
[[nodiscard]] std::string infra_environment(int socket);
// Its argument. With nothing to run it gives up all system calls that it does not need.
inline constexpr const char* kInfraHold = "hold";
inline constexpr const char* kInfraServe = "serve";

// The extension that serves the pod's names: the containers' /etc/resolv.conf names its address
// (see point_to_discovery), its own has the servers that it asks itself.
inline constexpr const char* kDiscoveryExtension = "dns";
inline constexpr const char* kDiscoveryAddress = "127.0.0.11";
[[nodiscard]] bool has_discovery(const std::vector<Extension>& extensions);
// A resolv.conf with kDiscoveryAddress in place of its servers, and with "options ndots:0" if it
// says nothing about that.
[[nodiscard]] std::string point_to_discovery(std::string_view resolv_conf);
// The resolv.conf of a container that can't ask the extension, for it is a microVM of its own: with
// the servers that are in the extension's settings, if any. kInvalidArgument for those that such a
// container can't ask: all but IPv4 addresses at port 53, and the pod's loopback but 127.0.0.1.
Result<std::string> bypass_discovery(std::string_view resolv_conf,
                                     const std::vector<Extension>& extensions);

struct InfraInputs {
  const PodRecord& record;
  std::map<std::string, std::string> sysctls;
  // The pod's DATA/pods/ID; it gets an empty directory "rootfs" (mode 0755), where the engine makes
  // mount points, and with extensions a file "resolv.conf.upstream": what the extensions see.
  std::string directory;
  std::string library_host;  // the program trivet-extension, by find_companion()
};

// The OCI spec of the infra container. Pure, but for the default seccomp profile's look at the
// kernel's version. kInvalidArgument names an extension that can't be.
Result<oci::Spec> plan_infra(const InfraInputs& inputs);

// What of it is for extensions: read-only bind mounts of their files and of what programs and
// shared libraries need from the host. Pure.
Result<> plan_infra_mounts(const std::vector<Extension>& extensions,
                           const std::string& library_host, oci::Spec& spec);

// What starts an extension in there.
[[nodiscard]] std::vector<std::string> extension_command(const Extension& extension);

// ---------------------------------------------------------------- the conversation

// The supervisor's side. One thread, on its loop.
class InfraChannel {
 public:
  struct Handlers {
    // An extension asks for a port while it starts: the host's port (0: any) that leads to `guest`.
    // Returns the host's port. Later this is refused without a call: the network is up then.
    std::function<Result<uint16_t>(const std::string& protocol, uint16_t host, uint16_t guest)>
        request_port;
    std::function<std::vector<ContainerNumbers>()> numbers;
    // An extension has ended or misbehaved; it is not started again. Called from the loop.
    std::function<void(const std::string& extension, const std::string& message)> extension_failed;
    // One that was starting has, and the error names it, or what is heard makes no sense. Called
    // from the loop, and more than once if more goes wrong.
    std::function<void(Error error)> start_failed;
  };

  // `socket` is this side's end.
  InfraChannel(EventLoop& loop, UniqueFd socket, Handlers handlers);
  ~InfraChannel();
  InfraChannel(const InfraChannel&) = delete;
  InfraChannel& operator=(const InfraChannel&) = delete;

  // Has the extensions started, all at once. The infra container must run, and the network must not
  // exist yet: their requests for ports are served from the loop, which watches the socket from
  // here on. To be called once.
  Result<> start_extensions(const PodRecord& record);
  // One that has not returned from on_start yet; nothing: all of them have, and ports can't be had
  // any more.
  [[nodiscard]] std::optional<std::string> starting() const;
  // Best effort: a lost infra container shows by its end.
  void send(const Event& event);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace trivet::pod
