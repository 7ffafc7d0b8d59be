#include "vmm/krun_plan.h"

#include "guest/protocol.h"

namespace trivet::vmm {

namespace {

// <libkrun.h>
constexpr int kLogErrors = 1;            // KRUN_LOG_LEVEL_ERROR
constexpr int kLogPlain = 2;             // KRUN_LOG_STYLE_NEVER
constexpr int kLogIgnoresVariables = 1;  // KRUN_LOG_OPTION_NO_ENV
constexpr int kElf = 1;                  // KRUN_KERNEL_FORMAT_ELF
constexpr int kRaw = 0;                  // KRUN_DISK_FORMAT_RAW
constexpr int kNobody = -1;              // no descriptor
// Neither checksums nor segmentation are left to passt, which is not told what is in a frame.
constexpr int kNoOffload = 0;
constexpr int kNoFlags = 0;

// Of a device whose interface has none of its own.
constexpr const char* kMac = "52:54:00:12:34:56";

class Builder {
 public:
  explicit Builder(const Job& job) : job_(job) {
    plan_.name = "libkrun";
    plan_.argv = {path_of(job.krun->program), path_of(job.krun->library)};
  }

  void machine() {
    call("krun_init_log", STDERR_FILENO, kLogErrors, kLogPlain, kLogIgnoresVariables);
    call("krun_create_ctx");
    add("krun_set_vm_config", job_.vcpus, job_.memory_mib);
    add("krun_set_kernel", kKernel, kElf, kInitramfs, kernel_words('k'));
    // Neither a console on our stdio, nor a vsock device by which the guest had the host's network.
    add("krun_disable_implicit_console");
    add("krun_disable_implicit_vsock");
  }

  void control(const VmmEnds& ends) {
    add("krun_add_serial_console_default", kNobody, plan_.give(ends.console));
    const int agent = plan_.give(ends.agent);
    add("krun_add_virtio_console_multiport");
    add("krun_add_console_port_inout", "=krun_add_virtio_console_multiport", guest::kAgentPort,
        agent, agent);
  }

  void disks() {
    for (size_t i = 0; i < job_.disks.size(); ++i) {
      const auto& disk = job_.disks[i];
      add("krun_add_disk2", fmt::format("disk{}", i), path_of(disk.fd), kRaw, disk.read_only);
    }
  }

  void network(const std::vector<NetBackend>& backends) {
    for (size_t i = 0; i < backends.size(); ++i) {
      const auto& interfaces = job_.create.interfaces;
      const std::string& mac = i < interfaces.size() ? interfaces[i].mac : "";
      add("krun_add_net_unixstream", "NULL", plan_.give(backends[i].fd), mac.empty() ? kMac : mac,
          kNoOffload, kNoFlags);
    }
  }

  VmmPlan take() {
    add("krun_start_enter");
    return std::move(plan_);
  }

 private:
  template <typename... Arguments>
  void call(const char* function, const Arguments&... arguments) {
    plan_.argv.emplace_back(function);
    (plan_.argv.push_back(fmt::format("{}", arguments)), ...);
  }
  // A function whose first argument is the machine.
  template <typename... Arguments>
  void add(const char* function, const Arguments&... arguments) {
    call(function, "=krun_create_ctx", arguments...);
  }

  std::string path_of(int fd) { return fmt::format("/proc/self/fd/{}", plan_.give(fd)); }

  const Job& job_;
  VmmPlan plan_;
};

}  // namespace

VmmPlan plan_krun(const Job& job, const VmmEnds& ends) {
  Builder builder(job);
  builder.machine();
  builder.control(ends);
  builder.disks();
  builder.network(ends.network);
  return builder.take();
}

}  // namespace trivet::vmm
