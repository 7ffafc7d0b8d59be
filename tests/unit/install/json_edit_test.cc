#include "install/json_edit.h"

#include <gtest/gtest.h>

namespace trivet::install {
namespace {

JsonText parsed(const std::string& text) {
  auto document = JsonText::parse(text, "f.json");
  EXPECT_TRUE(document) << (document ? "" : document.error().message());
  return document ? *document : *JsonText::parse("", "f.json");
}

std::string after_set(const std::string& text, const JsonText::Path& path,
                      const OrderedJson& value) {
  JsonText document = parsed(text);
  const auto done = document.set(path, value);
  EXPECT_TRUE(done) << (done ? "" : done.error().message());
  return document.text();
}

std::string after_remove(const std::string& text, const JsonText::Path& path) {
  JsonText document = parsed(text);
  EXPECT_TRUE(document.remove(path));
  return document.text();
}

std::string failure(const std::string& text) {
  const auto document = JsonText::parse(text, "f.json");
  return document ? "" : document.error().message();
}

TEST(JsonEdit, PutsAMemberBehindTheLastOneAndLeavesTheRest) {
  EXPECT_EQ(after_set("{\n    \"b\": 1.00,\n    \"a\": [1 ,2]\n}\n", {"r", "x"}, 7),
            "{\n    \"b\": 1.00,\n    \"a\": [1 ,2],\n    \"r\": {\n        \"x\": 7\n    }\n}\n");
  EXPECT_EQ(after_set("{\n\t\"r\": {\n\t\t\"y\": 1\n\t}\n}", {"r", "x"}, 7),
            "{\n\t\"r\": {\n\t\t\"y\": 1,\n\t\t\"x\": 7\n\t}\n}");
}

TEST(JsonEdit, KeepsADocumentOnOneLineOnOneLine) {
  EXPECT_EQ(after_set("{\"a\":1}", {"r", "x"}, 7), "{\"a\":1, \"r\": {\"x\":7}}");
  EXPECT_EQ(after_set("{\n  \"r\": {\"y\": 1}\n}", {"r", "x"}, 7),
            "{\n  \"r\": {\"y\": 1, \"x\": 7}\n}");
}

TEST(JsonEdit, FillsEmptyObjectsAndEmptyFiles) {
  EXPECT_EQ(after_set("", {"a"}, 1), "{\n  \"a\": 1\n}\n");
  EXPECT_EQ(after_set(" \n", {"a"}, 1), "{\n  \"a\": 1\n}\n");
  EXPECT_EQ(after_set("{\n  \"r\": {}\n}", {"r", "x"}, 7), "{\n  \"r\": {\n    \"x\": 7\n  }\n}");
}

TEST(JsonEdit, ReplacesAValueInItsPlace) {
  EXPECT_EQ(after_set("{ \"a\" : {\"b\": \"}\"} , \"c\":2 }", {"a"}, "x"),
            "{ \"a\" : \"x\" , \"c\":2 }");
}

TEST(JsonEdit, TakesOutAMemberWithOneComma) {
  EXPECT_EQ(after_remove("{\"a\": 1, \"b\": 2, \"c\": 3}", {"a"}), "{\"b\": 2, \"c\": 3}");
  EXPECT_EQ(after_remove("{\"a\": 1, \"b\": 2, \"c\": 3}", {"b"}), "{\"a\": 1, \"c\": 3}");
  EXPECT_EQ(after_remove("{\"a\": 1, \"b\": 2, \"c\": 3}", {"c"}), "{\"a\": 1, \"b\": 2}");
  EXPECT_EQ(after_remove("{\"r\": {\"x\": 1}}", {"r", "x"}), "{\"r\": {}}");
  EXPECT_EQ(after_remove("{\"a\": 1}", {"b", "c"}), "{\"a\": 1}");
}

TEST(JsonEdit, WhatWasPutInCanBeTakenOutAgain) {
  for (const std::string text :
       {"{\"a\": 1}", "{\n  \"a\": 1\n}\n", "{\"a\":\"\\\"}\"}", "\xef\xbb\xbf{\"a\": {}}\n"}) {
    EXPECT_EQ(after_remove(after_set(text, {"new"}, {{"path", "/x"}}), {"new"}), text);
  }
}

TEST(JsonEdit, FindsItsWayThroughStringsWithBracesAndEscapes) {
  EXPECT_EQ(after_set(R"({"a\"{": "}]\\", "r": {"\u0078": [{"]": "["}]}})", {"r", "x"}, 1),
            R"({"a\"{": "}]\\", "r": {"\u0078": 1}})");
}

TEST(JsonEdit, TellsLineAndColumnOfWhatIsBroken) {
  EXPECT_TRUE(failure("{\n  \"a\": 1,\n}\n").starts_with("f.json:3:1: not valid JSON: "))
      << failure("{\n  \"a\": 1,\n}\n");
  EXPECT_TRUE(failure("{\"a\": 1 // why\n}").starts_with("f.json:1:9: "))
      << failure("{\"a\": 1 // why\n}");
  EXPECT_EQ(failure("[1]"), "f.json:1:1: not a JSON object");
  EXPECT_EQ(failure("{\"a\": 1,\n \"a\": 2}"), "f.json:2:2: the key \"a\" is there twice");
  EXPECT_NE(failure("{\"a\": " + std::string(100000, '[')), "");
  EXPECT_NE(failure("{\"a\": " + std::string(100, '[') + std::string(100, ']') + "}"), "");
  EXPECT_NE(failure(std::string("{\"a\0\": 1}", 10)), "");
}

TEST(JsonEdit, PutsNothingIntoWhatIsNoObject) {
  JsonText document = parsed("{\"r\": [1]}");
  EXPECT_FALSE(document.set({"r", "x"}, 1));
  EXPECT_EQ(document.text(), "{\"r\": [1]}");
  EXPECT_TRUE(document.remove({"r", "x"}));
}

}  // namespace
}  // namespace trivet::install
