#include "pod/dns/message.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::dns {
namespace {

using testing::ElementsAre;

// Texts with NULs in them.
template <size_t N>
std::string bytes(const char (&text)[N]) {
  return {text, N - 1};
}

const std::string kHeader = bytes("\x12\x34\x01\0\0\1\0\0\0\0\0\0");
const std::string kQuestion = bytes("\2Db\7example\0\0\1\0\1");
const std::string kOption = bytes("\0\0\x29\x10\0\0\0\0\0\0\0");

TEST(DnsQuery, IsRead) {
  const Query query = parse_query(kHeader + kQuestion).value();
  EXPECT_EQ(query.id, 0x1234);
  EXPECT_TRUE(query.recursion_desired);
  EXPECT_THAT(query.labels, ElementsAre("db", "example"));
  EXPECT_EQ(query.type, kTypeA);
  EXPECT_EQ(query.class_number, kClassInternet);
  EXPECT_EQ(query.question, kQuestion);
}

TEST(DnsQuery, MayHaveAdditionalRecords) {
  std::string header = kHeader;
  header[11] = 1;
  EXPECT_EQ(parse_query(header + kQuestion + kOption).value().question, kQuestion);
  EXPECT_FALSE(parse_query(header + kQuestion));
  EXPECT_FALSE(parse_query(header + kQuestion + kOption + "x"));
  header[11] = 2;
  EXPECT_FALSE(parse_query(header + kQuestion + kOption));
}

TEST(DnsQuery, IsReadStrictly) {
  const std::string good = kHeader + kQuestion;
  for (size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(parse_query(good.substr(0, size)));
  EXPECT_FALSE(parse_query(good + "x"));
  for (const size_t count : {5U, 7U, 9U}) {
    std::string odd = good;
    odd[count] = 2;
    EXPECT_FALSE(parse_query(odd)) << count;
  }
  EXPECT_FALSE(parse_query(kHeader + bytes("\xc0\x0c\0\1\0\1")));  // refers to itself
  EXPECT_FALSE(parse_query(kHeader + bytes("\x40x\0\0\1\0\1")));
  std::string long_name;
  for (int i = 0; i < 4; ++i) long_name += '\x3f' + std::string(63, 'x');
  EXPECT_FALSE(parse_query(kHeader + long_name + bytes("\0\0\1\0\1")));
  std::string answer = good;
  answer[2] = '\x81';
  EXPECT_FALSE(parse_query(answer));
  EXPECT_FALSE(answer_refused(answer, Code::kFormatError));
  std::string update = good;
  update[2] = '\x28';
  EXPECT_EQ(parse_query(update).error().code(), ErrorCode::kUnsupported);
  EXPECT_EQ(answer_refused(update, Code::kNotImplemented), bytes("\x12\x34\xa8\4\0\0\0\0\0\0\0\0"));
}

TEST(DnsAnswer, HasTheAddressOrNone) {
  const Query query = parse_query(kHeader + kQuestion).value();
  EXPECT_EQ(print_answer(query, 0x7f000001), bytes("\x12\x34\x85\x80\0\1\0\1\0\0\0\0") + kQuestion +
                                                 bytes("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1"));
  EXPECT_EQ(print_answer(query, std::nullopt),
            bytes("\x12\x34\x85\x80\0\1\0\0\0\0\0\0") + kQuestion);
  EXPECT_EQ(print_failure(query, Code::kServerFailure),
            bytes("\x12\x34\x81\x82\0\1\0\0\0\0\0\0") + kQuestion);
}

TEST(DnsAnswer, IsToTheQuestionThatWasAsked) {
  const Query query = parse_query(kHeader + kQuestion).value();
  const std::string answer = print_answer(query, 1);
  EXPECT_TRUE(is_answer(answer, 0x1234, kQuestion));
  EXPECT_FALSE(is_answer(answer, 0x1235, kQuestion));
  EXPECT_FALSE(is_answer(kHeader + kQuestion, 0x1234, kQuestion));
  EXPECT_FALSE(is_answer(answer, 0x1234, bytes("\3www\7example\0\0\1\0\1")));
  EXPECT_FALSE(is_answer(answer.substr(0, 20), 0x1234, kQuestion));
  EXPECT_TRUE(is_answer(with_id(answer, 7), 7, kQuestion));
}

}  // namespace
}  // namespace trivet::dns
