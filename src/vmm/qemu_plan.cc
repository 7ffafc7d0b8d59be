#include "vmm/qemu_plan.h"

#include "guest/protocol.h"

namespace trivet::vmm {

namespace {

// A guest that forks little has no use for more translated code than this; QEMU's own default grows
// to a gigabyte, which would count against the container's memory.
constexpr int kTranslationMib = 128;

class Builder {
 public:
  explicit Builder(const Job& job) : job_(job) {
    plan_.name = "QEMU";
    plan_.argv = {job.qemu};
    plan_.listens = true;
  }

  void add(std::string option, std::string value) {
    plan_.argv.push_back(std::move(option));
    plan_.argv.push_back(std::move(value));
  }
  void flag(std::string option) { plan_.argv.push_back(std::move(option)); }

  int give(int fd) { return plan_.give(fd); }
  void socket(const char* id, int fd) {
    add("-chardev", fmt::format("socket,id={},fd={}", id, give(fd)));
  }

  void confine() {
    plan_.argv.insert(plan_.argv.end(), {"-nodefaults", "-no-user-config", "-display", "none",
                                         "-no-reboot", "-name", "guest"});
    add("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  }

  void machine() {
    std::string machine = "microvm,x-option-roms=off";
    if (!job_.acpi) machine += ",acpi=off";
    if (has_memory_object()) machine += ",memory-backend=mem";
    add("-M", machine);
    add("-m", fmt::format("{}M", job_.memory_mib));
    add("-smp", fmt::format("{}", job_.vcpus));
    if (job_.kvm) {
      add("-accel", "kvm");
      add("-cpu", "host");
    } else {
      add("-accel", fmt::format("tcg,tb-size={}{}", kTranslationMib,
                                job_.vcpus == 1 ? ",thread=single" : ""));
      // Software emulation copies bytes one by one for `rep movsb`, and 5-level page tables cost.
      add("-cpu", "max,la57=off,erms=off,fsrm=off");
    }
    // virtiofsd refuses devices of before virtio 1.0.
    add("-global", "virtio-mmio.force-legacy=false");
  }

  // vhost-user devices and templates need memory that has a file; everything else is better off
  // with anonymous memory.
  void memory() {
    if (job_.share) {
      add("-object", fmt::format("memory-backend-memfd,id=mem,size={}M,share=on", job_.memory_mib));
    } else if (job_.saved) {
      add("-object",
          fmt::format("memory-backend-file,id=mem,size={}M,mem-path=/proc/self/fd/{},"
                      "share={}",
                      job_.memory_mib, give(job_.saved->memory), restores(job_) ? "off" : "on"));
    }
  }

  void kernel() {
    if (restores(job_)) {
      add("-incoming", "defer");
      return;
    }
    add("-kernel", kKernel);
    add("-initrd", kInitramfs);
    add("-append", command_line());
  }

  void control(const VmmEnds& ends) {
    socket("qmp", ends.qmp);
    add("-mon", "chardev=qmp,mode=control");
    socket("console", ends.console);
    add("-serial", "chardev:console");
    socket("agent", ends.agent);
    add("-device", "virtio-serial-device,max_ports=2");
    add("-device", fmt::format("virtserialport,chardev=agent,name={}", guest::kAgentPort));
  }

  void disks() {
    for (size_t i = 0; i < job_.disks.size(); ++i) disk(i, job_.disks[i]);
  }

  void share(int fd) {
    if (!job_.share) return;
    socket("share", fd);
    add("-device",
        fmt::format("vhost-user-fs-device,queue-size=1024,chardev=share,tag={}", guest::kShareTag));
  }

  void network(const std::vector<NetBackend>& backends) {
    for (size_t i = 0; i < backends.size(); ++i) {
      const int number = give(backends[i].fd);
      if (backends[i].kind == NetBackend::Kind::kTap) {
        add("-netdev", fmt::format("tap,id=net{},fd={},vhost=off", i, number));
      } else {
        add("-netdev",
            fmt::format("stream,id=net{},server=off,addr.type=fd,addr.str={}", i, number));
      }
      add("-device", fmt::format("virtio-net-device,netdev=net{}", i));
    }
  }

  // The state is written to a descriptor that comes by QMP, since QEMU 7.2 wants it so.
  void saved(int preload) {
    if (!job_.saved) return;
    plan_.env = {fmt::format("LD_PRELOAD=/proc/self/fd/{}", give(preload))};
    if (restores(job_)) plan_.state_number = give(job_.saved->state);
  }

  VmmPlan take() { return std::move(plan_); }

 private:
  [[nodiscard]] bool has_memory_object() const { return job_.share || job_.saved.has_value(); }

  void disk(size_t index, const payload::microvm::Disk& disk) {
    add("-add-fd", fmt::format("fd={},set={}", give(disk.fd), index));
    // No locks: a read-only image has many readers, and a writable file is one container's.
    add("-blockdev",
        fmt::format("driver=file,node-name={},filename=/dev/fdset/{},locking=off,{}",
                    disk_node(index), index, disk.read_only ? "read-only=on" : "discard=unmap"));
    add("-device", fmt::format("virtio-blk-device,drive={}", disk_node(index)));
  }

  [[nodiscard]] std::string command_line() const {
    std::string text = kernel_words('t');
    if (job_.kvm) return text;
    // The clock under emulation is the host's TSC, and to measure its frequency fails on a busy
    // host: the guest would hang.
    text += fmt::format(" tsc_early_khz={} tsc=reliable mitigations=off", job_.tsc_khz);
    // Only without ACPI is IRQ 0 routed, which the alternative to the timer of the LAPIC needs.
    if (!job_.acpi) text += " nolapic_timer";
    return text;
  }

  const Job& job_;
  VmmPlan plan_;
};

}  // namespace

std::string disk_node(size_t index) {
  return fmt::format("disk{}", index);
}

VmmPlan plan_qemu(const Job& job, const VmmEnds& ends) {
  Builder builder(job);
  builder.confine();
  builder.machine();
  builder.memory();
  builder.kernel();
  builder.control(ends);
  builder.disks();
  builder.share(ends.share);
  builder.network(ends.network);
  builder.saved(ends.preload);
  return builder.take();
}

}  // namespace trivet::vmm
