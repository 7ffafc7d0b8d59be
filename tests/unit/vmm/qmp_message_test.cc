#include "vmm/qmp_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::vmm {
namespace {

template <typename Message>
Message parse(std::string_view line) {
  auto message = parse_qmp(line);
  EXPECT_TRUE(message) << line;
  if (!message || !std::holds_alternative<Message>(*message)) {
    ADD_FAILURE() << line;
    return {};
  }
  return std::get<Message>(*message);
}

TEST(QmpMessage, KnowsTheFourKinds) {
  parse<QmpGreeting>(R"({"QMP": {"version": {"qemu": {"micro": 22}}, "capabilities": ["oob"]}})");
  EXPECT_EQ(parse<QmpReturn>(R"({"return": {"status": "running"}, "id": 7})").id, 7U);
  EXPECT_EQ(parse<QmpReturn>(R"({"return": {}, "id": 1})").value, Json::object());
  const auto failure =
      parse<QmpFailure>(R"({"id": 3, "error": {"class": "GenericError", "desc": "no such"}})");
  EXPECT_EQ(failure.id, 3U);
  EXPECT_EQ(failure.message, "no such");
  const auto event = parse<QmpEvent>(
      R"({"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION", "data": {"status": "completed"}})");
  EXPECT_EQ(event.name, "MIGRATION");
  EXPECT_EQ(event.data.value("status", ""), "completed");
  EXPECT_EQ(parse<QmpEvent>(R"({"event": "STOP", "timestamp": {}})").data, Json::object());
}

TEST(QmpMessage, NonsenseIsCorrupt) {
  for (const char* line :
       {"", "x", "[]", "7", "{}", "{\"event\":7}", "{\"error\":7}", "{\"id\":-1,\"return\":{}}",
        "{\"error\":{\"desc\":[]}}", "{\"QMP\"", "null"}) {
    const auto message = parse_qmp(line);
    ASSERT_FALSE(message) << line;
    EXPECT_EQ(message.error().code(), ErrorCode::kCorrupt) << line;
  }
}

TEST(QmpMessage, ACommandIsOneLine) {
  EXPECT_EQ(print_qmp("quit", nullptr, 5), "{\"execute\":\"quit\",\"id\":5}\n");
  EXPECT_EQ(print_qmp("getfd", {{"fdname", "a\nb"}}, 6),
            "{\"arguments\":{\"fdname\":\"a\\nb\"},\"execute\":\"getfd\",\"id\":6}\n");
}

}  // namespace
}  // namespace trivet::vmm
