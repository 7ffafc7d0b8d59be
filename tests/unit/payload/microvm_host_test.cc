// What is found out about the host: KVM, the time stamp counter, and where it is kept.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "payload/microvm/accelerator.h"
#include "payload/microvm/host_facts.h"
#include "payload/scratch.h"

namespace trivet::payload::microvm {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

class Host : public ::testing::Test {
 protected:
  Scratch scratch;
  const std::string& directory = scratch.path();
};

// Whichever it is on this host, it comes to an end and has words.
TEST_F(Host, KvmIsProbedInBoundedTime) {
  const auto begin = Clock::now();
  const KvmProbe probe = probe_kvm();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
  EXPECT_EQ(probe.usable(), probe.reason.empty()) << probe.reason;
  RecordProperty("kvm", probe.usable() ? "usable" : probe.reason);
}

// kvm-pvm runs user mode natively and interprets ring 0.
TEST_F(Host, KvmThatInterpretsKernelsIsNotUsable) {
  if (!exists("/sys/module/kvm_pvm")) GTEST_SKIP() << "needs a host with kvm-pvm";
  if (access("/dev/kvm", R_OK | W_OK) != 0) GTEST_SKIP() << "needs /dev/kvm";
  EXPECT_EQ(probe_kvm().state, KvmProbe::State::kNotForKernels);
  const Acceleration chosen = *choose_accelerator("auto", directory);
  EXPECT_EQ(chosen.accelerator, Accelerator::kTcg);
  EXPECT_THAT(chosen.warning, HasSubstr("in software"));
  EXPECT_EQ(choose_accelerator("kvm", directory).error().code(), ErrorCode::kUnsupported);
}

TEST_F(Host, KvmThatIsNotThereOrNotOursHasAHint) {
  const KvmProbe missing = probe_kvm(directory + "/kvm");
  EXPECT_EQ(missing.state, KvmProbe::State::kMissing);
  EXPECT_THAT(missing.hint, HasSubstr("nested"));
  std::ofstream(directory + "/file") << "no device";
  EXPECT_EQ(probe_kvm(directory + "/file").state, KvmProbe::State::kFailed);
  ASSERT_EQ(chmod((directory + "/file").c_str(), 0660), 0);
  const KvmProbe denied = describe_kvm(KvmProbe::State::kNoPermission, directory + "/file");
  EXPECT_FALSE(denied.hint.empty());
}

TEST_F(Host, SoftwareIsChosenWithoutAWarningWhenItIsAskedFor) {
  const Acceleration chosen = *choose_accelerator("tcg", directory);
  EXPECT_EQ(chosen.accelerator, Accelerator::kTcg);
  EXPECT_EQ(chosen.warning, "");
  EXPECT_GT(chosen.tsc_khz, 100'000U);
  EXPECT_LT(chosen.tsc_khz, 10'000'000U);
  EXPECT_EQ(choose_accelerator("fast", directory).error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(Host, TheCounterIsMeasuredTheSameTwice) {
  const auto first = static_cast<double>(*find_tsc_khz());
  const auto second = static_cast<double>(*find_tsc_khz());
  EXPECT_NEAR(first / second, 1.0, 1e-4);
}

TEST_F(Host, FactsAreKeptUntilTheNextBoot) {
  HostFacts facts{.boot_id = boot_id(), .kvm = KvmProbe::State::kNotForKernels, .tsc_khz = 2700000};
  note_host_facts(directory + "/vm", facts);
  EXPECT_EQ(read_host_facts(directory + "/vm").tsc_khz, 2700000U);
  EXPECT_EQ(read_host_facts(directory + "/vm").kvm, KvmProbe::State::kNotForKernels);
  EXPECT_EQ(choose_accelerator("tcg", directory + "/vm")->tsc_khz, 2700000U);
  facts.boot_id = "another";
  note_host_facts(directory + "/vm", facts);
  EXPECT_EQ(read_host_facts(directory + "/vm").tsc_khz, 0U);
  EXPECT_FALSE(read_host_facts(directory + "/vm").kvm);
}

TEST_F(Host, FactsThatAreDamagedAreFoundOutAgain) {
  std::ofstream(directory + "/host.json") << "{\"boot_id\":";
  EXPECT_GT(choose_accelerator("tcg", directory)->tsc_khz, 0U);
}

}  // namespace
}  // namespace trivet::payload::microvm
