#include <sys/mman.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "payload/microvm/job.h"

namespace trivet::payload::microvm {
namespace {

TEST(MicrovmJob, ComesBackAsItWasPrinted) {
  Job job{.qemu = "/usr/bin/qemu",
          .kvm = true,
          .tsc_khz = 2700001,
          .vcpus = 3,
          .memory_mib = 777,
          .acpi = false,
          .disks = {{.fd = 5, .read_only = true}, {.fd = 6}},
          .network = {.kind = Network::Kind::kPasst, .fd = 9},
          .qemu_uid = 1234,
          .saved = SavedMachine{.memory = 7, .state = 8, .has_container = true},
          .machine_id = "0123",
          .sync = 10,
          .listener = 11,
          .report = 12,
          .console = 13,
          .terminal = true,
          .boot_timeout_ms = 5,
          .shutdown_timeout_ms = 6};
  job.create.config = "{\"a\":\"\\\"\"}";
  job.create.hostname = "box";
  job.create.interfaces = {{.mac = "52:54:00:00:00:01", .addresses = {"10.0.2.15/24"}}};
  const auto again = parse_job(print_job(job));
  ASSERT_TRUE(again) << again.error().message();
  ASSERT_TRUE(again->run);
  EXPECT_FALSE(again->exec);
  EXPECT_EQ(print_job(*again->run), print_job(job));
  EXPECT_EQ(again->run->create.config, job.create.config);
  EXPECT_EQ(again->run->disks.size(), 2U);
  EXPECT_EQ(again->run->saved->state, 8);
  EXPECT_TRUE(again->run->saved->has_container);
}

TEST(MicrovmJob, OfAMachineByLibkrunComesBackToo) {
  Job job;
  job.krun = {.program = 7, .library = 8};
  job.create.config = "{}";
  const auto again = parse_job(print_job(job));
  ASSERT_TRUE(again) << again.error().message();
  ASSERT_TRUE(again->run->krun);
  EXPECT_EQ(again->run->krun->program, 7);
  EXPECT_EQ(again->run->krun->library, 8);
}

TEST(MicrovmJob, OfAConnectionComesBackToo) {
  const ExecJob job{.connect = guest::ConnectRequest{.host = "127.0.0.1", .port = 80}, .sync = 5};
  const auto again = parse_job(print_job(job));
  ASSERT_TRUE(again) << again.error().message();
  ASSERT_TRUE(again->exec && again->exec->connect);
  EXPECT_EQ(again->exec->connect->port, 80);
  EXPECT_EQ(print_job(*again->exec), print_job(job));
}

TEST(MicrovmJob, OfAMemberComesBackToo) {
  MemberJob job{.container = 3,
                .machine = 4,
                .sync = 5,
                .listener = 6,
                .report = 7,
                .terminal = true,
                .timeout_ms = 8};
  job.create.config = "{}";
  job.create.joins = {"ipc"};
  const auto again = parse_job(print_job(job));
  ASSERT_TRUE(again) << again.error().message();
  ASSERT_TRUE(again->member);
  EXPECT_EQ(print_job(*again->member), print_job(job));
  EXPECT_EQ(again->member->create.joins, job.create.joins);
  // The machine's own container is nobody's member.
  job.container = 0;
  EXPECT_FALSE(parse_job(print_job(job)));
}

TEST(MicrovmJob, OfAnExecComesBackToo) {
  const ExecJob job{.request = {.process = "{\"args\":[\"sh\"]}"}, .sync = 5, .terminal = true};
  const auto again = parse_job(print_job(job));
  ASSERT_TRUE(again) << again.error().message();
  ASSERT_TRUE(again->exec);
  EXPECT_EQ(print_job(*again->exec), print_job(job));
  EXPECT_EQ(again->exec->sync, 5);
}

TEST(MicrovmJob, NonsenseIsAnError) {
  for (const char* text : {
           "",
           "[]",
           "{}",
           "{\"run\":7}",
           "{\"run\":{\"mode\":\"walk\"}}",
           "{\"run\":{\"vcpus\":-1}}",
           "{\"run\":{\"network\":{\"kind\":\"wifi\"}}}",
           "{\"run\":{\"disks\":[7]}}",
           "{\"run\":{\"create\":\"{\"}}",
           "{\"run\":{\"mode\":\"makeTemplate\"}}",
           "{\"run\":{\"share\":true,\"saved\":{\"memory\":1,\"state\":2}}}",
           "{\"run\":{\"krun\":{\"program\":1,\"library\":2},\"share\":true}}",
           "{\"run\":{\"krun\":{\"program\":1,\"library\":2},\"saved\":{\"memory\":1,\"state\":2}}"
           "}",
           "{\"exec\":{}}",
       }) {
    EXPECT_FALSE(parse_job(text)) << text;
  }
}

TEST(MicrovmReport, IsEmptyUntilItIsWritten) {
  const auto fd = make_report();
  ASSERT_TRUE(fd);
  EXPECT_NE(ftruncate(fd->get(), 1), 0);
  const auto report = read_report(fd->get());
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->lost);
  EXPECT_EQ(report->message, "");
}

TEST(MicrovmReport, NothingInItIsTakenOnTrust) {
  const auto fd = make_report();
  ASSERT_TRUE(fd);
  ReportPage page{.magic = kReportMagic, .from_template = 1, .lost = 7, .message_size = ~0U};
  std::fill_n(page.kernel, sizeof page.kernel, 'k');
  std::fill_n(page.message, sizeof page.message, '\n');
  ASSERT_EQ(pwrite(fd->get(), &page, sizeof page, 0), static_cast<ssize_t>(sizeof page));
  const auto report = read_report(fd->get());
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->from_template && report->lost);
  EXPECT_EQ(report->kernel.size(), sizeof page.kernel);
  EXPECT_EQ(report->message, std::string(sizeof page.message, ' '));
  page.magic = 7;
  ASSERT_EQ(pwrite(fd->get(), &page, sizeof page, 0), static_cast<ssize_t>(sizeof page));
  EXPECT_FALSE(read_report(fd->get()));
}

}  // namespace
}  // namespace trivet::payload::microvm
