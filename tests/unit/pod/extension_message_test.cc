#include "pod/extension_message.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pod/line_buffer.h"

namespace trivet::pod {
namespace {

using testing::HasSubstr;

TEST(LineBuffer, ReturnsLinesHoweverTheyCome) {
  LineBuffer buffer(10);
  ASSERT_TRUE(buffer.feed("on"));
  EXPECT_EQ(buffer.next().value(), std::nullopt);
  ASSERT_TRUE(buffer.feed("e\ntwo\n\nthr"));
  EXPECT_TRUE(buffer.has_line());
  EXPECT_EQ(buffer.next().value(), "one");
  EXPECT_EQ(buffer.next().value(), "two");
  EXPECT_EQ(buffer.next().value(), "");
  EXPECT_EQ(buffer.next().value(), std::nullopt);
  EXPECT_TRUE(buffer.has_rest());
  ASSERT_TRUE(buffer.feed("ee\n"));
  EXPECT_EQ(buffer.next().value(), "three");
  EXPECT_FALSE(buffer.has_rest());
}

TEST(LineBuffer, RefusesLongLines) {
  LineBuffer endless(4);
  EXPECT_TRUE(endless.feed("abcd"));
  EXPECT_EQ(endless.feed("e").error().code(), ErrorCode::kLimitExceeded);
  LineBuffer ended(4);
  ASSERT_TRUE(ended.feed("abcd\nabcde\n"));
  EXPECT_EQ(ended.next().value(), "abcd");
  EXPECT_EQ(ended.next().error().code(), ErrorCode::kLimitExceeded);
}

TEST(ExtensionMessage, StartTellsThePod) {
  const ExtensionOrder order{.type = ExtensionOrder::Type::kStart,
                             .name = "dns",
                             .settings = "a \"b\"\n",
                             .pod_id = "4f",
                             .pod_name = "web",
                             .hostname = "host",
                             .containers = {"app", "db"}};
  const std::string line = print_order(order);
  EXPECT_EQ(line, R"({"name":"dns","pod":{"containers":["app","db"],"hostname":"host","id":"4f",)"
                  R"("name":"web"},"settings":"a \"b\"\n","type":"start","version":1})");
  const ExtensionOrder back = parse_order(line).value();
  EXPECT_EQ(back.settings, order.settings);
  EXPECT_EQ(back.containers, order.containers);
}

TEST(ExtensionMessage, EventsHaveWhatBelongsToThem) {
  const auto print = [](Event event) {
    return print_order({.type = ExtensionOrder::Type::kEvent, .event = std::move(event)});
  };
  EXPECT_EQ(print({.kind = Event::Kind::kExited, .container = "app", .exit_code = 137}),
            R"({"container":"app","event":"exited","exit_code":137,"type":"event"})");
  EXPECT_EQ(print({.kind = Event::Kind::kHealthy, .container = "app"}),
            R"({"container":"app","event":"healthy","type":"event"})");
  EXPECT_EQ(print({.kind = Event::Kind::kStopping}), R"({"event":"stopping","type":"event"})");
  const ExtensionOrder back =
      parse_order(R"({"type":"event","event":"exited","container":"a","exit_code":-3,"new":[]})")
          .value();
  EXPECT_EQ(back.event.exit_code, -3);
}

TEST(ExtensionMessage, AnswersGoThere) {
  const ContainerNumbers numbers{.name = "app",
                                 .running = true,
                                 .restarts = 2,
                                 .cpu_usage_ns = ~0ULL,
                                 .memory_usage = 4096,
                                 .memory_limit = 0,
                                 .pids = 3};
  const ExtensionOrder order{.type = ExtensionOrder::Type::kNumbers, .id = 7, .numbers = {numbers}};
  const ExtensionOrder back = parse_order(print_order(order)).value();
  EXPECT_EQ(back.id, 7U);
  ASSERT_EQ(back.numbers.size(), 1U);
  EXPECT_EQ(back.numbers[0], numbers);
  EXPECT_EQ(print_order({.type = ExtensionOrder::Type::kError, .id = 1, .message = "\xff"}),
            "{\"id\":1,\"message\":\"\xef\xbf\xbd\",\"type\":\"error\"}");
}

TEST(ExtensionMessage, RequestsAreReadStrictly) {
  const ExtensionRequest request =
      parse_request(R"({"type":"request_port","id":1,"protocol":"udp","host":0,"guest":53})")
          .value();
  EXPECT_EQ(request.protocol, "udp");
  EXPECT_EQ(request.guest, 53);
  EXPECT_EQ(print_request(request),
            R"({"guest":53,"host":0,"id":1,"protocol":"udp","type":"request_port"})");
  EXPECT_TRUE(parse_request(R"({"type":"ready"})"));
  for (const char* line :
       {"", "ready", "[]", "{}", R"({"type":"odd"})", R"({"type":1})", R"({"type":"ready"}{})",
        R"({"type":"request_port","guest":0})", R"({"type":"request_port","guest":65536})",
        R"({"type":"request_port","guest":1,"host":-1})",
        R"({"type":"request_port","guest":1,"protocol":"sctp"})",
        R"({"type":"request_numbers","id":4294967296})", R"({"type":"failed","message":[]})"}) {
    const auto parsed = parse_request(line);
    ASSERT_FALSE(parsed) << line;
    EXPECT_EQ(parsed.error().code(), ErrorCode::kCorrupt) << line;
  }
}

TEST(ExtensionMessage, EnvelopesGoThereAndBack) {
  const InfraOrder order{.to = "dns", .launch = {"/extensions/dns"}, .order = "{}"};
  const InfraOrder order_back = parse_infra_order(print_infra_order(order)).value();
  EXPECT_EQ(order_back.to, "dns");
  EXPECT_EQ(order_back.launch, order.launch);
  EXPECT_EQ(order_back.order, "{}");
  EXPECT_FALSE(parse_infra_order(R"({"launch":["/x"],"order":""})"));
  const InfraReport report =
      parse_infra_report(print_infra_report({.from = "dns", .request = {}, .ended = "crashed"}))
          .value();
  EXPECT_FALSE(report.request);
  EXPECT_EQ(report.ended, "crashed");
  EXPECT_THAT(parse_infra_report(R"({"from":"dns","request":{"type":"x"}})").error().message(),
              HasSubstr("unknown type \"x\""));
}

}  // namespace
}  // namespace trivet::pod
