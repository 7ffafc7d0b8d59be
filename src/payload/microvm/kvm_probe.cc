#include "payload/microvm/kvm_probe.h"

#include <array>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"

#if defined(__x86_64__)
#include <linux/kvm.h>
#endif

namespace trivet::payload::microvm {

namespace {

// Of the processor, so that a busy host is not taken for a bad one.
constexpr long kLoopNanoseconds = 20'000'000;
constexpr std::chrono::milliseconds kWallLimit{500};

// How the child ends.
constexpr int kRuns = 0;
constexpr int kNoMachine = 10;
constexpr int kBadInstruction = 11;
constexpr int kSlow = 128 + SIGALRM;

#if defined(__x86_64__)

// The guest's memory: page tables that map the first 2 MiB onto themselves, code, and data.
constexpr size_t kMemoryBytes = 0x6000;
constexpr size_t kPml4 = 0x1000;
constexpr size_t kPdpt = 0x2000;
constexpr size_t kDirectory = 0x3000;
constexpr size_t kCode = 0x4000;
constexpr size_t kData = 0x5000;

constexpr std::array<unsigned char, 17> kProgram{
    0xf0, 0x48, 0x0f, 0xc7, 0x0f,  // lock cmpxchg16b [rdi]: in every allocator of Linux
    0xf4,                          // hlt
    0xb9, 0x40, 0x0d, 0x03, 0x00,  // mov ecx, 200000
    0x48, 0xff, 0xc9,              // loop: dec rcx
    0x75, 0xfb,                    // jnz loop
    0xf4};                         // hlt

void fill_memory(unsigned char* memory) {
  constexpr uint64_t kPresent = 3;  // and writable
  constexpr uint64_t kLarge = 0x80;
  const auto put = [memory](size_t at, uint64_t value) {
    std::memcpy(memory + at, &value, sizeof value);
  };
  put(kPml4, kPdpt | kPresent);
  put(kPdpt, kDirectory | kPresent);
  put(kDirectory, kLarge | kPresent);
  std::memcpy(memory + kCode, kProgram.data(), kProgram.size());
}

// 64-bit mode in ring 0, as a kernel has it.
bool set_registers(int vcpu) {
  kvm_sregs special{};
  if (ioctl(vcpu, KVM_GET_SREGS, &special) != 0) return false;
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = 8;
  segment.type = 11;  // code: execute, read, accessed
  segment.present = 1;
  segment.s = 1;
  segment.l = 1;
  segment.g = 1;
  special.cs = segment;
  segment.selector = 16;
  segment.type = 3;  // data: read, write, accessed
  segment.l = 0;
  segment.db = 1;
  special.ds = special.es = special.fs = special.gs = special.ss = segment;
  special.cr3 = kPml4;
  special.cr4 = 0x20;        // physical address extension
  special.cr0 = 0x80050033;  // protected mode with paging
  special.efer = 0x500;      // long mode, enabled and active
  kvm_regs registers{};
  registers.rip = kCode;
  registers.rdi = kData;
  registers.rbx = 1;
  registers.rcx = 2;
  registers.rflags = 2;
  return ioctl(vcpu, KVM_SET_SREGS, &special) == 0 && ioctl(vcpu, KVM_SET_REGS, &registers) == 0;
}

// struct kvm_cpuid2 as C has it. In C++ the header's flexible array takes space, which spoils the
// offset of the entries and the size in the numbers of the calls.
constexpr uint32_t kCpuidEntries = 256;
struct Cpuid {
  uint32_t count = kCpuidEntries;
  uint32_t padding = 0;
  std::array<kvm_cpuid_entry2, kCpuidEntries> entries{};
};
constexpr auto kGetSupportedCpuid = _IOWR(KVMIO, 0x05, uint64_t);
constexpr auto kSetCpuid = _IOW(KVMIO, 0x90, uint64_t);

// The guest's processor has what the host's has, cmpxchg16b among it.
bool set_cpuid(int kvm, int vcpu) {
  Cpuid cpuid;
  return ioctl(kvm, kGetSupportedCpuid, &cpuid) == 0 && ioctl(vcpu, kSetCpuid, &cpuid) == 0;
}

bool run_to_halt(int vcpu, const kvm_run* state) {
  return ioctl(vcpu, KVM_RUN, 0) == 0 && state->exit_reason == KVM_EXIT_HLT;
}

void start_timer() {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;  // ends the process
  timer_t timer{};
  const itimerspec when{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = kLoopNanoseconds}};
  if (timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &timer) == 0) {
    timer_settime(timer, 0, &when, nullptr);
  }
}

// In the child: only system calls.
int run_guest(int kvm) {
  const int machine = ioctl(kvm, KVM_CREATE_VM, 0);
  if (machine < 0) return kNoMachine;
  (void)ioctl(machine, KVM_SET_TSS_ADDR, 0xfffbd000UL);  // older Intel processors need it
  void* memory =
      mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return kNoMachine;
  auto* bytes = static_cast<unsigned char*>(memory);
  fill_memory(bytes);
  kvm_userspace_memory_region region{};
  region.memory_size = kMemoryBytes;
  region.userspace_addr = reinterpret_cast<uintptr_t>(memory);
  if (ioctl(machine, KVM_SET_USER_MEMORY_REGION, &region) != 0) return kNoMachine;
  const int vcpu = ioctl(machine, KVM_CREATE_VCPU, 0);
  const int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (vcpu < 0 || size < static_cast<int>(sizeof(kvm_run))) return kNoMachine;
  void* state =
      mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  if (state == MAP_FAILED || !set_cpuid(kvm, vcpu) || !set_registers(vcpu)) return kNoMachine;
  start_timer();
  const auto* run = static_cast<const kvm_run*>(state);
  uint64_t stored = 0;
  if (!run_to_halt(vcpu, run)) return kBadInstruction;
  std::memcpy(&stored, bytes + kData + sizeof stored, sizeof stored);
  if (stored != 2) return kBadInstruction;
  return run_to_halt(vcpu, run) ? kRuns : kBadInstruction;
}

#else

int run_guest(int /*kvm*/) {
  return kNoMachine;
}

#endif

[[noreturn]] void become_probe(int kvm) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  sigaction(SIGALRM, &action, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  _exit(run_guest(kvm));
}

// How the child ended; nothing when it had to be killed.
std::optional<int> run_child(int kvm) {
  const pid_t pid = fork();
  if (pid < 0) return kNoMachine;
  if (pid == 0) become_probe(kvm);
  const auto pidfd = open_pidfd(pid);
  const auto ended = pidfd ? wait_pidfd(pidfd->get(), kWallLimit) : Result<bool>(false);
  const bool timed_out = !ended || !*ended;
  if (timed_out) ::kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (timed_out) return std::nullopt;
  return exit_code_of(status);
}

// The name of a group without the name service, which static programs don't have.
std::string group_name(gid_t gid) {
  const auto text = read_file("/etc/group");
  if (!text) return {};
  for (const std::string& line : split(*text, '\n')) {
    const std::vector<std::string> fields = split(line, ':');
    if (fields.size() >= 3 && fields[2] == fmt::format("{}", gid)) return fields[0];
  }
  return {};
}

std::string permission_hint(const std::string& device) {
  struct stat status{};
  if (stat(device.c_str(), &status) != 0) return {};
  const std::string group = group_name(status.st_gid);
  if (status.st_gid == 0 || group.empty() || (status.st_mode & 060U) != 060U) {
    return fmt::format("root can give access: chmod 666 {}", device);
  }
  return fmt::format("add the user to its group, and log in again: usermod -aG {} USER", group);
}

KvmProbe failed(std::string reason) {
  return {.state = KvmProbe::State::kFailed, .reason = std::move(reason), .hint = {}};
}

}  // namespace

KvmProbe describe_kvm(KvmProbe::State state, const std::string& device) {
  KvmProbe probe{.state = state, .reason = {}, .hint = {}};
  switch (state) {
    case KvmProbe::State::kUsable:
      break;
    case KvmProbe::State::kMissing:
      probe.reason = fmt::format("there is no {}", device);
      probe.hint =
          "the processor's virtualisation may be off in the firmware, the module kvm_intel or "
          "kvm_amd not loaded, or this is a virtual machine without nested virtualisation";
      break;
    case KvmProbe::State::kNoPermission:
      probe.reason = fmt::format("this user can't open {}", device);
      probe.hint = permission_hint(device);
      break;
    case KvmProbe::State::kNotForKernels:
      probe.reason = fmt::format(
          "{} can be opened, but does not run a kernel's code as hardware does", device);
      probe.hint = "this is a virtual machine: nested virtualisation by its host would help";
      break;
    case KvmProbe::State::kFailed:
      probe.reason = fmt::format("{} does not work", device);
      break;
  }
  return probe;
}

KvmProbe probe_kvm(const std::string& device) {
  const auto kvm = open_file(device, O_RDWR);
  if (!kvm) {
    const int errnum = kvm.error().errnum();
    const bool missing = errnum == ENOENT || errnum == ENXIO || errnum == ENODEV;
    if (missing) return describe_kvm(KvmProbe::State::kMissing, device);
    if (errnum == EACCES || errnum == EPERM) {
      return describe_kvm(KvmProbe::State::kNoPermission, device);
    }
    return failed(kvm.error().message());
  }
  const std::optional<int> ended = run_child(kvm->get());
  if (!ended) return failed(fmt::format("{}: a machine of one page did not end", device));
  switch (*ended) {
    case kRuns:
      return describe_kvm(KvmProbe::State::kUsable, device);
    case kBadInstruction:
    case kSlow:
      return describe_kvm(KvmProbe::State::kNotForKernels, device);
    default:
      return failed(fmt::format("{}: no machine can be made", device));
  }
}

}  // namespace trivet::payload::microvm
