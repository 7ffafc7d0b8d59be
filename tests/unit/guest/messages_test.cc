#include "guest/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::guest {
namespace {

using testing::HasSubstr;

TEST(Messages, CreateComesThrough) {
  const CreateRequest request{
      .config = R"({"a": "b"})",
      .seccomp = SeccompFilter{.instructions = std::string("\0\1\2\3\4\5\6\xFF", 8), .flags = 2},
      .lower_device = "vda",
      .scratch_device = "vdb",
      .lower_share = "image/layer",
      .share = true,
      .files = {{.name = "hosts", .mode = 0600, .content = std::string("a\0\xFF", 3)}},
      .hostname = "box",
      .interfaces = {{.mac = "52:54:00:12:34:56",
                      .name = "net0",
                      .mtu = 65520,
                      .addresses = {"10.0.2.15/24"},
                      .routes = {{.destination = "0.0.0.0/0", .gateway = "10.0.2.2"}},
                      .completes_handshakes = true}},
      .volumes = {{.name = "data", .mode = 02770, .uid = 1, .gid = 2, .directories = {"a", "a/b"}},
                  {.name = ".shm", .mode = 01777, .in_memory = true, .size = 1U << 20U}},
      .infra = true,
      .joins = {"ipc", "uts", "pid"}};
  const auto again = parse_create(print(request));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->config, request.config);
  EXPECT_EQ(again->seccomp.value().instructions, request.seccomp->instructions);
  EXPECT_EQ(again->seccomp.value().flags, 2U);
  EXPECT_EQ(again->files.at(0).content, request.files.at(0).content);
  EXPECT_EQ(again->files.at(0).mode, 0600U);
  EXPECT_EQ(again->interfaces.at(0).routes.at(0).gateway, "10.0.2.2");
  EXPECT_TRUE(again->interfaces.at(0).completes_handshakes);
  EXPECT_EQ(print(*again), print(request));
}

TEST(Messages, CreateIsChecked) {
  const auto error_of = [](const std::string& members) {
    const auto parsed = parse_create(R"({"config": "{}", )" + members + "}");
    return parsed ? "" : parsed.error().message();
  };
  EXPECT_THAT(error_of(R"("lower_device": "../sda")"), HasSubstr("lower_device"));
  EXPECT_THAT(error_of(R"("lower_share": "a/../b")"), HasSubstr("lower_share"));
  EXPECT_THAT(error_of(R"("lower_share": "/a")"), HasSubstr("lower_share"));
  EXPECT_THAT(error_of(R"("files": [{"name": "a/b"}])"), HasSubstr("files[0].name"));
  EXPECT_THAT(error_of(R"("files": [{"name": ".."}])"), HasSubstr("files[0].name"));
  EXPECT_THAT(error_of(R"("files": [{"name": "a", "mode": 65536}])"), HasSubstr("mode"));
  EXPECT_THAT(error_of(R"("files": [{"name": "a", "content": "?"}])"), HasSubstr("content"));
  EXPECT_THAT(error_of(R"("interfaces": [{"name": "far too long a name"}])"), HasSubstr("name"));
  EXPECT_THAT(error_of(R"("volumes": [{"name": "a/b"}])"), HasSubstr("volumes[0].name"));
  EXPECT_THAT(error_of(R"("volumes": [{"name": "a", "mode": 65536}])"), HasSubstr("mode"));
  EXPECT_THAT(error_of(R"("volumes": [{"name": "a", "directories": ["../b"]}])"),
              HasSubstr("directories"));
  EXPECT_THAT(error_of(R"("joins": ["mnt"])"), HasSubstr("joins"));
  for (const char* wrong : {"", "AAAA", "AAAAAAAAAAA?"}) {
    EXPECT_THAT(error_of(fmt::format(R"("seccomp": {{"instructions": "{}"}})", wrong)),
                HasSubstr("seccomp.instructions"));
  }
  EXPECT_FALSE(parse_create("{}"));
  EXPECT_FALSE(parse_create("[]"));
}

TEST(Messages, UnknownMembersAreANewerPeers) {
  EXPECT_TRUE(parse_request(R"({"operation": "ping", "more": [1, 2]})"));
  EXPECT_TRUE(parse_ready(R"({"version": 1, "kernel": "6.1", "cpus": 2})"));
}

TEST(Messages, WakeIsChecked) {
  const Wake wake{
      .unix_ns = 5, .entropy = std::string(128, 'a'), .machine_id = std::string(32, '0')};
  EXPECT_EQ(print(*parse_wake(print(wake))), print(wake));
  Wake wrong = wake;
  wrong.entropy.pop_back();
  EXPECT_FALSE(parse_wake(print(wrong)));
  wrong = wake;
  wrong.machine_id[3] = 'g';
  EXPECT_FALSE(parse_wake(print(wrong)));
}

TEST(Messages, TheOthersComeThrough) {
  const Ready ready{.version = 1, .kernel = "6.1.0"};
  EXPECT_EQ(print(*parse_ready(print(ready))), print(ready));
  const ExecRequest exec{.process = "{}", .detach = true, .ends_group = true};
  EXPECT_EQ(print(*parse_exec(print(exec))), print(exec));
  const CopyRequest copy{.path = "/a/.", .source = "b"};
  EXPECT_EQ(print(*parse_copy(print(copy))), print(copy));
  const ConnectRequest connect{.host = "127.0.0.1", .port = 65535};
  EXPECT_EQ(print(*parse_connect(print(connect))), print(connect));
  EXPECT_FALSE(parse_connect(R"({"host": "127.0.0.1", "port": 65536})"));
  EXPECT_FALSE(parse_connect(R"({"host": "127.0.0.1", "port": 0})"));
  const Request request{.operation = "update", .resources = "{}", .unix_ns = -1};
  EXPECT_EQ(print(*parse_request(print(request))), print(request));
  const Stats stats{.cpu_usage_ns = UINT64_MAX, .memory_limit = 5, .oom_kills = 1};
  EXPECT_EQ(print(*parse_stats(print(stats))), print(stats));
}

}  // namespace
}  // namespace trivet::guest
