#include "vmm/vmm_plan.h"

#include "vmm/krun_plan.h"
#include "vmm/qemu_plan.h"

namespace trivet::vmm {

int VmmPlan::give(int fd) {
  constexpr int kFirst = 3;
  const int number = kFirst + static_cast<int>(inherited.size());
  inherited.push_back({.fd = fd, .number = number});
  return number;
}

// A guest with nothing to do waits for RCU's grace periods by the clock, some milliseconds each,
// unless they are expedited: mounts, namespaces and cgroups take several.
std::string kernel_words(char reboot) {
  return fmt::format(
      "console=ttyS0 quiet panic=-1 reboot={} no_timer_check cryptomgr.notests "
      "noreplace-smp rcupdate.rcu_expedited=1 init_on_alloc=0 random.trust_cpu=on audit=0",
      reboot);
}

bool restores(const Job& job) {
  return job.saved.has_value() && job.mode == Job::Mode::kRun;
}

VmmPlan plan_vmm(const Job& job, const VmmEnds& ends) {
  return job.krun ? plan_krun(job, ends) : plan_qemu(job, ends);
}

}  // namespace trivet::vmm
