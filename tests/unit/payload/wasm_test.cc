#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "payload/wasm/cache.h"
#include "payload/wasm/confine.h"
#include "payload/wasm/job.h"
#include "payload/wasm/limits.h"
#include "payload/wasm/module_file.h"
#include "payload/wasm/report.h"

namespace trivet::payload::wasm {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kMiB = 1 << 20;

// ---- job

TEST(Job, ComesBackAsItWasPrinted) {
  const Job job{.code = "a.cwasm",
                .code_directory = 7,
                .report = 9,
                .component = true,
                .read_only = true,
                .invoke = "add \"two\"",
                .limits = {.fuel = 12, .memory_bytes = 65536, .timeout = milliseconds(1500)}};
  const auto again = parse_job(print_job(job));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(print_job(*again), print_job(job));
  EXPECT_EQ(again->invoke, job.invoke);
  EXPECT_EQ(again->limits.fuel, job.limits.fuel);
}

TEST(Job, WithoutFuelNoneIsCounted) {
  const auto again = parse_job(print_job(Job{}));
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->limits.fuel);
}

TEST(Job, NonsenseIsAnError) {
  for (const char* text : {"", "[]", "{\"code\":1}", "{\"fuel\":-1}", "{\"report\":99999999999}"}) {
    EXPECT_FALSE(parse_job(text)) << text;
  }
}

// ---- limits

Settings settings(const std::map<std::string, std::string>& annotations,
                  std::optional<int64_t> memory = std::nullopt) {
  const auto planned = plan_settings(annotations, memory);
  EXPECT_TRUE(planned) << planned.error().message();
  return planned.value_or(Settings{});
}

TEST(Limits, AnnotationsSetThem) {
  const Settings set = settings({{kFuelAnnotation, "5000"},
                                 {kPagesAnnotation, "16"},
                                 {kTimeoutAnnotation, "1m30s"},
                                 {kInvokeAnnotation, "add"},
                                 {"dev.trivet.isolation", "wasm"},
                                 {"org.example.other", "x"}});
  EXPECT_EQ(set.limits.fuel, 5000U);
  EXPECT_EQ(set.limits.memory_bytes, uint64_t{kMiB});
  EXPECT_EQ(set.limits.timeout, milliseconds(90'000));
  EXPECT_EQ(set.invoke, "add");
}

TEST(Limits, ByDefaultThereIsTheSizeOfAMemoryOnly) {
  const Settings set = settings({{kFuelAnnotation, "off"}});
  EXPECT_FALSE(set.limits.fuel);
  EXPECT_EQ(set.limits.memory_bytes, uint64_t{4} << 30);
  EXPECT_EQ(set.limits.timeout, milliseconds(0));
}

TEST(Limits, TheCgroupLeavesRoomForTheHost) {
  EXPECT_EQ(settings({}, 64 * kMiB).limits.memory_bytes, uint64_t{56 * kMiB});
  EXPECT_EQ(settings({}, 8 * kMiB).limits.memory_bytes, uint64_t{4 * kMiB});
  EXPECT_EQ(settings({{kPagesAnnotation, "16"}}, 64 * kMiB).limits.memory_bytes, uint64_t{kMiB});
  EXPECT_EQ(settings({}, -1).limits.memory_bytes, uint64_t{4} << 30);
}

TEST(Limits, ABadOrUnknownAnnotationIsAnErrorThatNamesIt) {
  for (const auto& [key, value] :
       std::map<std::string, std::string>{{kFuelAnnotation, "0"},
                                          {kFuelAnnotation + std::string("s"), "1"},
                                          {kPagesAnnotation, "65537"},
                                          {kPagesAnnotation, "-1"},
                                          {kTimeoutAnnotation, "soon"}}) {
    const auto planned = plan_settings({{key, value}}, std::nullopt);
    ASSERT_FALSE(planned) << key;
    EXPECT_THAT(planned.error().message(), HasSubstr(key));
  }
}

// ---- the shell

oci::Spec spec_with_mounts(std::vector<oci::Mount> mounts) {
  oci::Spec spec = oci::default_spec(oci::SpecKind::kRoot);
  spec.mounts = std::move(mounts);
  return spec;
}

TEST(Confine, TakesCapabilitiesAndKernelInterfacesAway) {
  oci::Spec spec = spec_with_mounts({{.destination = "/proc", .type = "proc", .source = "proc"},
                                     {.destination = "/dev", .type = "tmpfs", .source = "tmpfs"},
                                     {.destination = "/sys", .type = "sysfs", .source = "sysfs"},
                                     {.destination = "/sys/fs/cgroup", .type = "cgroup"},
                                     {.destination = "/proc/acpi", .type = "tmpfs"}});
  ASSERT_TRUE(confine(spec, "", "/", true));
  ASSERT_EQ(spec.mounts.size(), 1U);
  EXPECT_EQ(spec.mounts.front().destination, "/dev");
  EXPECT_TRUE(spec.process->no_new_privileges);
  EXPECT_TRUE(spec.process->capabilities->bounding.empty());
  EXPECT_TRUE(spec.process->capabilities->effective.empty());
  EXPECT_TRUE(spec.linux_config->masked_paths.empty());
}

TEST(Confine, ARootThatNobodyWritesToIsReadOnly) {
  oci::Spec spec = spec_with_mounts({});
  spec.root->readonly = false;
  ASSERT_TRUE(confine(spec, "", "/", true));
  EXPECT_FALSE(spec.root->readonly);
  ASSERT_TRUE(confine(spec, "", "/", false));
  EXPECT_TRUE(spec.root->readonly);
}

TEST(Confine, AProcOfTheHostIsRefused) {
  oci::Spec spec = spec_with_mounts(
      {{.destination = "/data", .type = "bind", .source = "/proc", .options = {"rbind"}}});
  const auto confined = confine(spec, "", "/", true);
  ASSERT_FALSE(confined);
  EXPECT_THAT(confined.error().message(), HasSubstr("/data"));
}

TEST(Confine, ASourceThatIsNoPathIsNotLookedAt) {
  oci::Spec spec =
      spec_with_mounts({{.destination = "/dev/shm", .type = "tmpfs", .source = "proc"}});
  EXPECT_TRUE(confine(spec, "", "/", true));
}

// ---- where the module is

oci::Process process(std::string program, std::string cwd = "/",
                     std::vector<std::string> env = {}) {
  oci::Process made;
  made.args = {std::move(program)};
  made.cwd = std::move(cwd);
  made.env = std::move(env);
  return made;
}

TEST(ModuleFile, CandidatesFollowTheRulesOfExec) {
  EXPECT_THAT(candidate_paths(process("/a//b/../c.wasm")), ElementsAre("/a/c.wasm"));
  EXPECT_THAT(candidate_paths(process("./c.wasm", "/app")), ElementsAre("/app/c.wasm"));
  EXPECT_THAT(candidate_paths(process("c.wasm", "/app", {"PATH=/bin::rel:/usr/bin"})),
              ElementsAre("/bin/c.wasm", "/usr/bin/c.wasm", "/app/c.wasm"));
  EXPECT_THAT(candidate_paths(process("../../../x")), ElementsAre("/x"));
}

class ModuleFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "module-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    base_ = pattern;
    std::filesystem::create_directories(base_ / "root/bin");
    std::filesystem::create_directories(base_ / "volume");
    write("root/bin/m.wasm", std::string("\0asm\1\0\0\0", 8));
    write("root/component.wasm", std::string("\0asm\r\0\1\0", 8));
    write("root/text.wat", "(module)");
    write("root/script", "#!/bin/sh\n");
    write("volume/v.wasm", std::string("\0asm\1\0\0\0", 8));
    std::filesystem::create_symlink("/bin/m.wasm", base_ / "root/link.wasm");
    std::filesystem::create_symlink("../volume/v.wasm", base_ / "root/escape.wasm");
  }
  void TearDown() override { std::filesystem::remove_all(base_); }

  void write(const std::string& path, const std::string& content) const {
    std::ofstream(base_ / path, std::ios::binary) << content;
  }
  Format format_of(const std::string& program, const std::vector<oci::Mount>& mounts = {}) const {
    const UniqueFd root(open((base_ / "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto found = find_module(open_below(root.get()), mounts, process(program));
    found_ = found.has_value();
    return found ? found->format : Format::kNone;
  }

  std::filesystem::path base_;
  mutable bool found_ = false;
};

TEST_F(ModuleFiles, TheFirstBytesSayWhatItIs) {
  EXPECT_EQ(format_of("/bin/m.wasm"), Format::kModule);
  EXPECT_EQ(format_of("/component.wasm"), Format::kComponent);
  EXPECT_EQ(format_of("/text.wat"), Format::kText);
  EXPECT_EQ(format_of("/script"), Format::kNone);
  EXPECT_TRUE(found_);
  format_of("/bin");
  EXPECT_FALSE(found_);
}

TEST_F(ModuleFiles, SymlinksStayInTheRoot) {
  EXPECT_EQ(format_of("/link.wasm"), Format::kModule);
  format_of("/escape.wasm");
  EXPECT_FALSE(found_);
}

TEST_F(ModuleFiles, BindMountsAreLookedInto) {
  const std::string volume = base_ / "volume";
  const oci::Mount directory{
      .destination = "/v", .type = "bind", .source = volume, .options = {"rbind"}};
  EXPECT_EQ(format_of("/v/v.wasm", {directory}), Format::kModule);
  const oci::Mount file{
      .destination = "/script", .source = volume + "/v.wasm", .options = {"bind"}};
  EXPECT_EQ(format_of("/script", {file}), Format::kModule);
  const oci::Mount tmpfs{.destination = "/bin", .type = "tmpfs", .source = "tmpfs"};
  format_of("/bin/m.wasm", {tmpfs});
  EXPECT_FALSE(found_);
}

// ---- report

TEST(Report, AnEmptyPageIsOneThatRuns) {
  const auto fd = make_report();
  ASSERT_TRUE(fd);
  const auto report = read_report(fd->get());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->outcome, Outcome::kRunning);
  EXPECT_NE(ftruncate(fd->get(), 1 << 20), 0) << "its size is sealed";
}

TEST(Report, WhatTheHostWroteIsReadWithoutTrust) {
  const auto fd = make_report();
  ASSERT_TRUE(fd);
  ReportPage page{
      .magic = kReportMagic, .outcome = Outcome::kTrap, .fuel_used = 7, .message_size = 4000};
  std::fill(std::begin(page.message), std::end(page.message), '\n');
  ASSERT_EQ(pwrite(fd->get(), &page, sizeof page, 0), ssize_t{sizeof page});
  auto report = read_report(fd->get());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->fuel_used, 7U);
  EXPECT_EQ(report->message, std::string(sizeof page.message, ' '));
  page.outcome = static_cast<Outcome>(77);
  ASSERT_EQ(pwrite(fd->get(), &page, sizeof page, 0), ssize_t{sizeof page});
  EXPECT_FALSE(read_report(fd->get()));
}

// ---- cache

TEST(CacheRecordTest, ComesBackAndKnowsItsFile) {
  const std::string path = testing::TempDir() + "cache-record";
  std::ofstream(path) << "code";
  struct stat status{};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  CacheRecord record{.code = "x.cwasm", .digest = "abc", .component = true, .writes_files = true};
  record.stamp(status);
  const auto again = parse_cache_record(print_cache_record(record));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->component);
  EXPECT_TRUE(again->writes_files);
  EXPECT_TRUE(again->matches(status));
  std::ofstream(path, std::ios::app) << "!";
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_FALSE(again->matches(status));
  unlink(path.c_str());
}

TEST(CacheRecordTest, ANameThatLeavesTheDirectoryIsRefused) {
  EXPECT_FALSE(parse_cache_record(R"({"code":"../x.cwasm"})"));
  EXPECT_FALSE(parse_cache_record(R"({"code":""})"));
  EXPECT_FALSE(parse_cache_record("{}"));
}

TEST(CacheRecordTest, KeysDifferByWhatTheCodeDependsOn) {
  EXPECT_NE(cache_key("d", Fuel::kOff), cache_key("d", Fuel::kCounted));
  EXPECT_NE(cache_key("d", Fuel::kOff), cache_key("e", Fuel::kOff));
}

}  // namespace
}  // namespace trivet::payload::wasm
