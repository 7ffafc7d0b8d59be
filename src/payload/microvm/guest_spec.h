// A container's configuration, divided: what its guest does with it, and what the guest gets from
// the host for that.
//
// The guest runs the container with trivet's own engine, so nearly all of a configuration goes
// there as it is: the process and its rights, file systems of the kernel's, seccomp, limits. Bind
// mounts are replaced by what is shared; the network is the guest's own; the host's hooks stay on
// the host.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "oci/spec.h"

namespace trivet::payload::microvm {

// A file that the guest gets by value.
struct CopiedFile {
  std::string name;    // in guest::kFilesDirectory
  std::string source;  // on the host
};

struct GuestPlan {
  oci::Spec guest;
  std::vector<oci::Mount> shares;  // bind mounts of the shell, on /share/…
  std::vector<CopiedFile> files;
  // With a shared root: container::Program::shown, the container's files as the host has them.
  std::vector<oci::Mount> view;
  std::vector<std::string> warnings;  // what a VM of its own makes meaningless
};

// The volumes of a pod, for whoever plans one of the containers in its machine.
struct PodVolumes {
  std::string directory;         // on the host, with one directory a volume
  std::set<std::string> inside;  // those that the guest has itself: guest::Volume
};
// That of /dev/shm, which the containers of a pod share.
inline constexpr const char* kShmVolume = ".shm";

struct GuestInputs {
  std::string bundle;  // relative sources are below it
  // Regular files below it are copied, since nobody changes them while the container runs; with a
  // share the machine could not come from a template. Empty: everything is shared.
  std::string private_directory;
  bool root_is_shared = false;  // else the root comes from a block device
  // One of several containers in a machine: its number, which tells its shares and files from the
  // others', and its pod's volumes. The machine's own container is 0.
  uint8_t number = 0;
  std::string pod_directory;  // its regular files are copied, too
  const PodVolumes* volumes = nullptr;
};

// Pure but for looking at the kinds of bind mounts' sources. kUnsupported, naming the field, for
// what a VM can't have: devices of the host, namespaces of others, sockets.
Result<GuestPlan> plan_guest(const oci::Spec& spec, const GuestInputs& inputs);

}  // namespace trivet::payload::microvm
