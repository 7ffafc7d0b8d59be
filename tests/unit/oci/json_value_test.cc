#include "oci/json_value.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::oci {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view text) {
  JsonDocument document;
  const auto result = document.parse(text, "doc", 1000);
  return result ? "" : result.error().message();
}

TEST(JsonValue, ReadsEveryType) {
  JsonDocument document;
  const std::string text =
      " {\"a\" : [1, -2, 18446744073709551615, -0, 1.5, true, false, null, \"x\"], \"b\":{}}\r\n";
  ASSERT_TRUE(document.parse(text, "doc", 1000).has_value());
  const JsonValue& root = document.root();
  ASSERT_EQ(root.type, JsonValue::Type::kObject);
  ASSERT_EQ(root.size, 2U);
  EXPECT_EQ(root.member_name(0).text(), "a");
  const auto items = root.member_value(0).elements();
  ASSERT_EQ(items.size(), 9U);
  EXPECT_EQ(items[0].natural, 1U);
  EXPECT_EQ(items[1].integer, -2);
  EXPECT_EQ(items[2].natural, UINT64_MAX);
  EXPECT_EQ(items[3].type, JsonValue::Type::kUint);
  EXPECT_EQ(items[4].real, 1.5);
  EXPECT_TRUE(items[5].boolean);
  EXPECT_FALSE(items[6].boolean);
  EXPECT_EQ(items[7].type, JsonValue::Type::kNull);
  EXPECT_EQ(items[8].text(), "x");
  EXPECT_EQ(root.member_value(1).size, 0U);
}

TEST(JsonValue, NumbersBeyondSixtyFourBitsAreReal) {
  for (const char* text : {"18446744073709551616", "-9223372036854775809"}) {
    JsonDocument document;
    ASSERT_TRUE(document.parse(text, "doc", 1000).has_value()) << text;
    EXPECT_EQ(document.root().type, JsonValue::Type::kDouble) << text;
    EXPECT_GT(std::fabs(document.root().real), 9e18) << text;
  }
}

TEST(JsonValue, DecodesEscapes) {
  JsonDocument document;
  const std::string text = R"("q\"\\\/\b\f\n\r\t \u0041\u00e9\u20AC\ud83d\ude00")";
  ASSERT_TRUE(document.parse(text, "doc", 1000).has_value());
  EXPECT_EQ(document.root().text(), "q\"\\/\b\f\n\r\t Aé€😀");
}

TEST(JsonValue, SaysWhereItIsWrong) {
  EXPECT_THAT(error_of("{\n  \"a\": nuX\n}"),
              HasSubstr("doc: not valid JSON: line 2, column 10: "));
  EXPECT_THAT(error_of(""), HasSubstr("line 1, column 1: "));
  EXPECT_THAT(error_of("{} x"), HasSubstr("line 1, column 4: "));
}

TEST(JsonValue, RefusesWhatIsNoJson) {
  for (const std::string_view text : {"{",
                                      "[",
                                      "[1",
                                      "[1,",
                                      "[1,]",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1,}",
                                      "{a:1}",
                                      "{'a':1}",
                                      "\"",
                                      "\"\\",
                                      "\"\\x\"",
                                      "\"\\u12",
                                      "\"\\u12g4\"",
                                      "\"\\ud800\"",
                                      "\"\\ud800\\u0041\"",
                                      "\"\\udc00\"",
                                      "01",
                                      "-",
                                      "+1",
                                      "1.",
                                      ".5",
                                      "1e",
                                      "1e+",
                                      "--1",
                                      "0x1",
                                      "NaN",
                                      "Infinity",
                                      "tru",
                                      "// c\n1",
                                      "\"a\nb\"",
                                      "1e400",
                                      "-1e400",
                                      "\"\xff\"",
                                      "\"\xed\xa0\x80\"",
                                      "\"\xc0\xaf\"",
                                      "\"\xe0"}) {
    EXPECT_THAT(error_of(text), HasSubstr("not valid JSON")) << text;
  }
  EXPECT_THAT(error_of(std::string_view("{}\0x", 4)), HasSubstr("not valid JSON"));
  EXPECT_THAT(error_of(std::string_view("\"a\0b\"", 5)), HasSubstr("not valid JSON"));
}

TEST(JsonValue, RefusesWhatIsTooDeepOrTooLong) {
  EXPECT_EQ(error_of(std::string(64, '[') + std::string(64, ']')), "");
  EXPECT_THAT(error_of(std::string(65, '[')), HasSubstr("nested too deeply"));
  JsonDocument document;
  const auto result = document.parse(std::string(1001, ' '), "doc", 1000);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code(), ErrorCode::kLimitExceeded);
}

}  // namespace
}  // namespace trivet::oci
