#include "vmm/qemu_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmm/golden.h"

namespace trivet::vmm {
namespace {

using payload::microvm::SavedMachine;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr VmmEnds kEnds{.qmp = 10, .agent = 11, .console = 12};

std::string print(const VmmPlan& plan) {
  std::string text;
  for (const std::string& entry : plan.env) text += entry + "\n";
  for (size_t i = 0; i < plan.argv.size(); ++i) {
    text += plan.argv[i];
    const bool has_value = plan.argv[i].starts_with('-') && i + 1 < plan.argv.size() &&
                           !plan.argv[i + 1].starts_with('-');
    text += has_value ? ' ' : '\n';
  }
  return text + print_inherited(plan);
}

Job job() {
  Job job;
  job.tsc_khz = 2700000;
  return job;
}

Job job_with_disks() {
  Job result = job();
  result.disks = {{.fd = 20, .read_only = true}, {.fd = 21}};
  return result;
}

TEST(QemuPlan, OfASmallMachineUnderEmulation) {
  expect_golden("tcg.txt", print(plan_qemu(job_with_disks(), kEnds)));
}

TEST(QemuPlan, OfAMachineWithEverything) {
  Job all = job_with_disks();
  all.kvm = true;
  all.vcpus = 4;
  all.memory_mib = 2048;
  all.share = true;
  VmmEnds ends = kEnds;
  ends.share = 13;
  ends.network = {{.kind = NetBackend::Kind::kStream, .fd = 14},
                  {.kind = NetBackend::Kind::kTap, .fd = 15}};
  expect_golden("kvm_share_network.txt", print(plan_qemu(all, ends)));
}

TEST(QemuPlan, OfATemplateAndOfWhatIsRestoredFromIt) {
  Job made = job_with_disks();
  made.mode = Job::Mode::kMakeTemplate;
  made.saved = SavedMachine{.memory = 30, .state = 31};
  VmmEnds ends = kEnds;
  ends.preload = 16;
  ends.network = {{.kind = NetBackend::Kind::kStream, .fd = 14}};
  expect_golden("make_template.txt", print(plan_qemu(made, ends)));
  Job restored = made;
  restored.mode = Job::Mode::kRun;
  expect_golden("restore.txt", print(plan_qemu(restored, ends)));
}

// What makes up the machine: everything that is no number of a descriptor, and no way to start.
std::vector<std::string> machine_of(const VmmPlan& plan) {
  std::vector<std::string> machine;
  for (size_t i = 1; i < plan.argv.size(); ++i) {
    const std::string& option = plan.argv[i];
    if (option == "-device" || option == "-M" || option == "-cpu" || option == "-m" ||
        option == "-smp" || option == "-accel" || option == "-global") {
      machine.push_back(option + " " + plan.argv[i + 1]);
    }
  }
  return machine;
}

TEST(QemuPlan, ATemplateHasTheMachineOfWhatIsRestored) {
  for (const bool acpi : {true, false}) {
    for (const uint32_t vcpus : {1U, 2U}) {
      Job made = job_with_disks();
      made.acpi = acpi;
      made.vcpus = vcpus;
      made.mode = Job::Mode::kMakeTemplate;
      made.saved = SavedMachine{.memory = 30, .state = 31};
      Job restored = made;
      restored.mode = Job::Mode::kRun;
      restored.create.hostname = "other";
      EXPECT_EQ(machine_of(plan_qemu(made, kEnds)), machine_of(plan_qemu(restored, kEnds)));
    }
  }
}

TEST(QemuPlan, WithoutAcpiTheKernelFindsDevicesByItsCommandLine) {
  Job without = job();
  without.acpi = false;
  const std::string text = print(plan_qemu(without, kEnds));
  EXPECT_THAT(text, HasSubstr("microvm,x-option-roms=off,acpi=off"));
  EXPECT_THAT(text, HasSubstr("nolapic_timer"));
  EXPECT_THAT(print(plan_qemu(job(), kEnds)), Not(HasSubstr("nolapic_timer")));
}

TEST(QemuPlan, NumbersAreUnique) {
  Job made = job_with_disks();
  made.saved = SavedMachine{.memory = 30, .state = 31};
  const VmmPlan plan = plan_qemu(made, kEnds);
  std::set<int> numbers;
  for (const InheritedFd& inherited : plan.inherited) {
    EXPECT_TRUE(numbers.insert(inherited.number).second);
    EXPECT_GT(inherited.number, 2);
  }
}

}  // namespace
}  // namespace trivet::vmm
