// The eBPF program that decides about devices on cgroup v2, made by hand: a dozen instructions need
// no library.
#include <array>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <ranges>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/unique_fd.h"
#include "linux/cgroup_devices.h"

namespace trivet::cgroup {

namespace {

// r1 is the context at entry. The others hold what is compared.
constexpr uint8_t kResult = BPF_REG_0;
constexpr uint8_t kContext = BPF_REG_1;
constexpr uint8_t kType = BPF_REG_2;
constexpr uint8_t kPending = BPF_REG_3;  // accesses that no rule has decided yet
constexpr uint8_t kMajor = BPF_REG_4;
constexpr uint8_t kMinor = BPF_REG_5;
constexpr uint8_t kScratch = BPF_REG_6;

constexpr uint32_t kMaxAttached = 64;  // BPF_CGROUP_MAX_PROGS
constexpr int kLoadRetries = 5;

bpf_insn instruction(int code, uint8_t destination, uint8_t source, int16_t offset, int32_t value) {
  bpf_insn insn{};
  insn.code = static_cast<uint8_t>(code);
  insn.dst_reg = destination & 0xFU;
  insn.src_reg = source & 0xFU;
  insn.off = offset;
  insn.imm = value;
  return insn;
}

bpf_insn load_field(uint8_t destination, size_t offset) {
  return instruction(BPF_LDX | BPF_MEM | BPF_W, destination, kContext, static_cast<int16_t>(offset),
                     0);
}
bpf_insn alu(int operation, uint8_t destination, int64_t value) {
  return instruction(BPF_ALU | operation | BPF_K, destination, 0, 0, static_cast<int32_t>(value));
}
bpf_insn move(uint8_t destination, uint8_t source) {
  return instruction(BPF_ALU64 | BPF_MOV | BPF_X, destination, source, 0, 0);
}
// Compares the low 32 bits: numbers of devices are unsigned.
bpf_insn skip_unless_equal(uint8_t reg, int64_t value, size_t skipped) {
  return instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, static_cast<int16_t>(skipped),
                     static_cast<int32_t>(static_cast<uint32_t>(value)));
}
bpf_insn skip_unless_zero(uint8_t reg) {
  return instruction(BPF_JMP32 | BPF_JNE | BPF_K, reg, 0, 2, 0);
}
bpf_insn skip_if_zero(uint8_t reg) {
  return instruction(BPF_JMP32 | BPF_JEQ | BPF_K, reg, 0, 2, 0);
}

void add_return(std::vector<bpf_insn>& program, bool allow) {
  program.push_back(instruction(BPF_ALU64 | BPF_MOV | BPF_K, kResult, 0, 0, allow ? 1 : 0));
  program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

// What a rule does when its devices match. Allowing takes its accesses off the pending ones and
// ends when none is left; denying ends when one of its accesses is pending.
std::vector<bpf_insn> decision(const DeviceException& rule) {
  std::vector<bpf_insn> code;
  if (rule.allow) {
    code.push_back(alu(BPF_AND, kPending, ~static_cast<int64_t>(rule.access)));
    code.push_back(skip_unless_zero(kPending));
  } else {
    code.push_back(move(kScratch, kPending));
    code.push_back(alu(BPF_AND, kScratch, rule.access));
    code.push_back(skip_if_zero(kScratch));
  }
  add_return(code, rule.allow);
  return code;
}

void add_rule(std::vector<bpf_insn>& program, const DeviceException& rule) {
  const std::vector<bpf_insn> code = decision(rule);
  size_t comparisons = 1U + (rule.major ? 1U : 0U) + (rule.minor ? 1U : 0U);
  const auto compare = [&](uint8_t reg, int64_t value) {
    --comparisons;
    program.push_back(skip_unless_equal(reg, value, comparisons + code.size()));
  };
  compare(kType, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  if (rule.major) compare(kMajor, *rule.major);
  if (rule.minor) compare(kMinor, *rule.minor);
  program.insert(program.end(), code.begin(), code.end());
}

int bpf(int command, bpf_attr& attributes) {
  return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

Result<UniqueFd> load_program(const std::vector<bpf_insn>& program) {
  static const char kLicense[] = "Apache-2.0";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insn_cnt = static_cast<uint32_t>(program.size());
  attributes.insns = reinterpret_cast<uint64_t>(program.data());
  attributes.license = reinterpret_cast<uint64_t>(&kLicense[0]);
  // The verifier gives up with EAGAIN when a signal is pending.
  for (int attempt = 0; attempt < kLoadRetries; ++attempt) {
    const int fd = bpf(BPF_PROG_LOAD, attributes);
    if (fd >= 0) return UniqueFd(fd);
    if (errno != EAGAIN) break;
  }
  return fail_errno("bpf BPF_PROG_LOAD of the device rules");
}

Result<std::vector<uint32_t>> attached_programs(int cgroup_fd) {
  std::vector<uint32_t> ids(kMaxAttached);
  bpf_attr attributes{};
  attributes.query.target_fd = static_cast<uint32_t>(cgroup_fd);
  attributes.query.attach_type = BPF_CGROUP_DEVICE;
  attributes.query.prog_cnt = kMaxAttached;
  attributes.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
  if (bpf(BPF_PROG_QUERY, attributes) != 0) return fail_errno("bpf BPF_PROG_QUERY");
  ids.resize(attributes.query.prog_cnt);
  return ids;
}

Result<> detach(int cgroup_fd, uint32_t program_id) {
  bpf_attr open_attributes{};
  open_attributes.prog_id = program_id;
  const UniqueFd program(bpf(BPF_PROG_GET_FD_BY_ID, open_attributes));
  if (!program) return fail_errno("bpf BPF_PROG_GET_FD_BY_ID {}", program_id);
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup_fd);
  attributes.attach_bpf_fd = static_cast<uint32_t>(program.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  if (bpf(BPF_PROG_DETACH, attributes) != 0)
    return fail_errno("bpf BPF_PROG_DETACH {}", program_id);
  return {};
}

}  // namespace

std::vector<bpf_insn> device_program(const DevicePolicy& policy) {
  // access_type holds the kind of device in its low half and the accesses in its high half.
  std::vector<bpf_insn> program = {
      load_field(kType, offsetof(bpf_cgroup_dev_ctx, access_type)),
      move(kPending, kType),
      alu(BPF_AND, kType, 0xFFFF),
      alu(BPF_RSH, kPending, 16),
      load_field(kMajor, offsetof(bpf_cgroup_dev_ctx, major)),
      load_field(kMinor, offsetof(bpf_cgroup_dev_ctx, minor)),
  };
  for (const auto& rule : std::views::reverse(policy.exceptions)) add_rule(program, rule);
  add_return(program, policy.default_allow);
  return program;
}

// The new program is attached before the old ones go: a device must pass all of them, so access is
// never wider than one of the two policies.
Result<> attach_device_program(const std::string& directory, const std::vector<bpf_insn>& program) {
  const UniqueFd cgroup = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  const UniqueFd loaded = TRY(load_program(program));
  const std::vector<uint32_t> old_programs = TRY(attached_programs(cgroup.get()));
  bpf_attr attributes{};
  attributes.target_fd = static_cast<uint32_t>(cgroup.get());
  attributes.attach_bpf_fd = static_cast<uint32_t>(loaded.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (bpf(BPF_PROG_ATTACH, attributes) != 0) {
    return fail_errno("bpf BPF_PROG_ATTACH to \"{}\"", directory);
  }
  for (const uint32_t id : old_programs) TRY(detach(cgroup.get(), id));
  return {};
}

}  // namespace trivet::cgroup
