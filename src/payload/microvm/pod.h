// A pod in one microVM: what its machine holds for each of its containers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "guest/messages.h"
#include "oci/spec.h"
#include "payload/microvm/guest_spec.h"
#include "payload/microvm/job.h"
#include "payload/microvm/program_builder.h"
#include "payload/microvm/sizes.h"

namespace trivet::payload::microvm {

// A container of the pod, as it would be run natively.
struct MemberSource {
  const oci::Spec& spec;
  std::string bundle;
  const std::optional<container::OverlayRoot>* overlay = nullptr;
  bool blocks_signals = false;  // CreateOptions::SignalsAtStart, of the program in the guest
};

struct PodSource {
  // DATA/pods/ID: its regular files are given to the guest by value, as those of bundles are.
  std::string directory;
  // One directory a volume. Those without files are the guest's own: on its disk, or in memory when
  // they are in `memory_volumes`. The others are shared with the host.
  std::string volumes_directory;
  std::map<std::string, uint64_t> memory_volumes;  // name and size; 0: the kernel's default
  uint64_t shm_size = 64ULL << 20U;
  bool share_pid = false;
  std::vector<MemberSource> members;
};

// One container in the machine, ready to be made there as often as it is started.
struct Member {
  uint8_t number = 0;  // guest/protocol.h
  guest::CreateRequest create;
  bool terminal = false;
};

// Whether a machine has room for so many images, each of which is one of its disks, with the
// current kernel: how many devices a guest finds depends on it. kLimitExceeded says how many; where
// there is no kernel nothing is said.
Result<> check_pod_images(const std::string& data_directory, size_t count);

// The annotation in the state of a container that is a member.
inline constexpr const char* kMemberAnnotation = "dev.trivet.vm.member";  // its number

// As many CPUs and as much memory as the containers may use together, unless the pod's own
// configuration says how much; see sizes.h.
Result<Sizes> plan_pod_sizes(const oci::Spec& infra, const PodSource& pod,
                             const SizeLimits& limits = {});

// The pod's content, as its parts are given to the machine.
class PodContent {
 public:
  // What plan_guest() says, container by container.
  static Result<PodContent> plan(const PodSource& pod);

  // Of the machine's own container: trivet-infra.
  Result<GuestPlan> plan_infra(const oci::Spec& spec, const std::string& bundle) const;
  // To be shared with the guest for all of them.
  [[nodiscard]] std::vector<oci::Mount> shares() const;
  [[nodiscard]] std::vector<std::string> warnings() const;

  // The images' disks, each once, and what the whole pod writes to at last.
  struct Disks {
    std::vector<Disk> disks;
    std::vector<std::string> images;  // of each member: the device
    std::string scratch;              // the device
  };
  Result<Disks> add_disks(const std::string& data_directory, UniqueFd scratch,
                          ProgramBuilder& builder) const;

  // Complete requests, in the order of the source.
  Result<std::vector<Member>> make_members(const Disks& disks, bool share) const;
  [[nodiscard]] const std::vector<guest::Volume>& volumes() const { return volumes_; }

 private:
  explicit PodContent(const PodSource& pod) : pod_(&pod) {}
  Result<> find_volumes();
  Result<> add_member(const MemberSource& member);

  const PodSource* pod_;
  PodVolumes places_;
  std::vector<guest::Volume> volumes_;
  std::vector<GuestPlan> guests_;
  std::vector<bool> lower_is_shared_;
};

}  // namespace trivet::payload::microvm
