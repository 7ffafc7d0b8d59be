#include "vmm/krun_plan.h"

#include <gtest/gtest.h>

#include "vmm/golden.h"

namespace trivet::vmm {
namespace {

// A call a line, as a shell would have its words.
std::string print(const VmmPlan& plan) {
  std::string text;
  for (const std::string& word : plan.argv) {
    if (!text.empty()) text += word.starts_with("krun_") ? '\n' : ' ';
    text += word.find(' ') == std::string::npos ? word : fmt::format("\"{}\"", word);
  }
  text += '\n';
  return text + print_inherited(plan);
}

Job job() {
  Job job;
  job.krun = {.program = 20, .library = 21};
  job.kvm = true;
  job.acpi = false;
  return job;
}

constexpr int kAgent = 11;
constexpr int kConsole = 12;

TEST(KrunPlan, OfTheSmallestMachine) {
  expect_golden("krun_small.txt", print(plan_krun(job(), {.agent = kAgent, .console = kConsole})));
}

TEST(KrunPlan, OfAMachineWithEverything) {
  Job all = job();
  all.vcpus = 4;
  all.memory_mib = 2048;
  all.disks = {{.fd = 22, .read_only = true}, {.fd = 23}};
  all.create.interfaces = {{.mac = "9a:55:9a:55:9a:55"}};
  expect_golden(
      "krun.txt",
      print(plan_krun(all, {.agent = kAgent,
                            .console = kConsole,
                            .network = {{.kind = NetBackend::Kind::kStream, .fd = 14},
                                        {.kind = NetBackend::Kind::kStream, .fd = 15}}})));
}

TEST(KrunPlan, TheJobSaysWhichMachineItIs) {
  const VmmEnds ends{.qmp = 10, .agent = kAgent, .console = kConsole};
  const VmmPlan krun = plan_vmm(job(), ends);
  EXPECT_STREQ(krun.name, "libkrun");
  EXPECT_FALSE(krun.listens);
  const VmmPlan qemu = plan_vmm(Job(), ends);
  EXPECT_STREQ(qemu.name, "QEMU");
  EXPECT_TRUE(qemu.listens);
}

}  // namespace
}  // namespace trivet::vmm
