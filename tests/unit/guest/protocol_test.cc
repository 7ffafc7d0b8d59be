#include "guest/protocol.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::guest {
namespace {

using testing::HasSubstr;

void feed(FrameReader& reader, std::string_view bytes) {
  std::memcpy(reader.space(bytes.size()), bytes.data(), bytes.size());
  reader.added(bytes.size());
}

// The error for a stream of bytes, or "".
std::string error_of(Direction direction, std::string_view bytes) {
  FrameReader reader(direction);
  feed(reader, bytes);
  const auto frame = reader.next();
  return frame ? "" : frame.error().message();
}

TEST(FrameReader, FramesInOnePieceAndByteByByte) {
  const std::string bytes = make_frame(FrameType::kStdin, 7, "hello") +
                            make_frame(FrameType::kStart, 1) +
                            make_number_frame(FrameType::kSignal, 1, 15);
  for (const size_t piece : {bytes.size(), size_t{1}, size_t{5}}) {
    FrameReader reader(Direction::kToGuest);
    std::vector<std::string> seen;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      feed(reader, std::string_view(bytes).substr(at, piece));
      for (;;) {
        const auto frame = reader.next();
        ASSERT_TRUE(frame);
        if (!*frame) break;
        seen.push_back(fmt::format("{}:{}:{}", static_cast<char>((*frame)->type), (*frame)->session,
                                   (*frame)->payload.size()));
      }
    }
    EXPECT_THAT(seen, testing::ElementsAre("i:7:5", "S:1:0", "s:1:4"));
  }
}

TEST(FrameReader, AFrameOfTheGreatestSize) {
  const std::string document(kMaxDocument, 'x');
  FrameReader reader(Direction::kToGuest);
  feed(reader, make_frame(FrameType::kCreate, 1, document));
  const auto frame = reader.next();
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ((*frame)->payload, document);
}

TEST(FrameReader, SpaceGrowsWithWhatCameAndNotWithWhatIsAnnounced) {
  FrameReader reader(Direction::kToGuest);
  const auto header =
      print_header({.size = kMaxDocument, .session = 1, .type = FrameType::kCreate});
  feed(reader, {header.data(), header.size()});
  EXPECT_FALSE(*reader.next());
  (void)reader.space(100);
  EXPECT_LT(reader.space_size(), 4096U);
}

TEST(FrameReader, WhatOnlyTheOtherSideSaysIsRefused) {
  const std::string exit = make_exit(3, {.code = 1});
  EXPECT_EQ(error_of(Direction::kToHost, exit), "");
  EXPECT_THAT(error_of(Direction::kToGuest, exit), HasSubstr("type"));
  EXPECT_THAT(error_of(Direction::kToHost, make_frame(FrameType::kStart, 1)), HasSubstr("type"));
}

TEST(FrameReader, SizesAndSessionsAreChecked) {
  EXPECT_THAT(error_of(Direction::kToGuest, make_frame(FrameType::kStart, 1, "x")),
              HasSubstr("1 bytes"));
  EXPECT_THAT(error_of(Direction::kToGuest, make_frame(FrameType::kExec, 1, "{}")),
              HasSubstr("session 1"));
  EXPECT_THAT(error_of(Direction::kToGuest, make_frame(FrameType::kAdopt, 2, "{}")),
              HasSubstr("session 2"));
  EXPECT_THAT(error_of(Direction::kToGuest, make_frame(FrameType::kWake, 1, "{}")),
              HasSubstr("session 1"));
  EXPECT_THAT(error_of(Direction::kToGuest,
                       make_frame(FrameType::kStdin, 1, std::string(kMaxData + 1, 'x'))),
              HasSubstr("65537"));
  std::string reserved = make_frame(FrameType::kStart, 1);
  reserved[11] = 1;
  EXPECT_THAT(error_of(Direction::kToGuest, reserved), HasSubstr("reserved"));
}

TEST(FrameReader, ContainersAreNamedWhereASessionBegins) {
  const auto to_guest = [](FrameType type, uint32_t session, uint8_t container) {
    return error_of(Direction::kToGuest, make_frame(type, session, "", container));
  };
  for (const FrameType type : {FrameType::kCreate, FrameType::kExec, FrameType::kRequest,
                               FrameType::kCopyIn, FrameType::kCopyOut}) {
    EXPECT_EQ(to_guest(type, 2, 1), "");
    EXPECT_EQ(to_guest(type, 2, kMaxContainers), "");
    EXPECT_THAT(to_guest(type, 2, kMaxContainers + 1), HasSubstr("container 65"));
  }
  EXPECT_EQ(to_guest(FrameType::kStart, 2, 0), "");
  EXPECT_THAT(to_guest(FrameType::kStart, 2, 1), HasSubstr("container 1"));
  EXPECT_THAT(to_guest(FrameType::kSignal, 1, 1), HasSubstr("container 1"));
  // The machine's own container has the session of its own, and no other has it.
  EXPECT_THAT(to_guest(FrameType::kCreate, 1, 1), HasSubstr("container 1"));
  EXPECT_THAT(to_guest(FrameType::kCreate, 2, 0), HasSubstr("container 0"));
  FrameReader reader(Direction::kToGuest);
  feed(reader, make_frame(FrameType::kExec, 7, "{}", 3));
  const auto frame = reader.next();
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ((*frame)->container, 3);
}

std::string_view payload(const std::string& frame) {
  return std::string_view(frame).substr(kHeaderSize);
}

TEST(Payloads, PrintingAndReadingAreInverse) {
  EXPECT_EQ(*read_number(payload(make_number_frame(FrameType::kSignal, 1, 0x01020304))),
            0x01020304U);
  const auto size = *read_resize(payload(make_resize(1, 40, 1000)));
  EXPECT_EQ(size.rows, 40);
  EXPECT_EQ(size.columns, 1000);
  const auto credit = *read_credit(payload(make_credit(1, FrameType::kStderr, kStreamWindow)));
  EXPECT_EQ(credit.stream, FrameType::kStderr);
  EXPECT_EQ(credit.bytes, kStreamWindow);
  const auto exit = *read_exit(payload(make_exit(1, {.code = 137, .oom_killed = true})));
  EXPECT_EQ(exit.code, 137);
  EXPECT_TRUE(exit.oom_killed);
}

TEST(Payloads, WhatIsWrongIsRefused) {
  EXPECT_FALSE(read_number("123"));
  EXPECT_FALSE(read_resize("12345"));
  EXPECT_FALSE(read_exit("x"));
  EXPECT_FALSE(read_exit("xy"));
  EXPECT_FALSE(read_credit("o"));
  EXPECT_FALSE(read_credit(payload(make_credit(1, FrameType::kStdout, 0))));
  EXPECT_FALSE(read_credit(payload(make_credit(1, FrameType::kStdout, kStreamWindow + 1))));
  EXPECT_FALSE(read_credit(payload(make_credit(1, FrameType::kExit, 1))));
}

TEST(Errors, CodeMessageHintAndNotesComeThrough) {
  const Error error = Error(ErrorCode::kCommandNotFound, "\"x\": no such program")
                          .hint("look")
                          .note(Error(ErrorCode::kSystem, "undone"));
  const Error again = parse_error(print_error(error));
  EXPECT_EQ(again.code(), ErrorCode::kCommandNotFound);
  EXPECT_EQ(again.message(), error.message());
  EXPECT_EQ(again.hint_text(), "look");
  EXPECT_THAT(again.notes(), testing::ElementsAre("undone"));
}

TEST(Errors, WhatTheGuestSaysIsOnlyText) {
  const Error error =
      parse_error(R"({"code": "made-up", "message": "a\u001b[31mb\nc\u009bd\u0007"})");
  EXPECT_EQ(error.code(), ErrorCode::kSystem);
  EXPECT_EQ(error.message(), "a\\x1b[31mb c\\xc2\\x9bd\\x07");
  EXPECT_THAT(parse_error("junk").message(), HasSubstr("can't be read"));
  EXPECT_THAT(parse_error("{}").message(), HasSubstr("can't be read"));
  const std::string long_text(10000, 'x');
  EXPECT_LE(parse_error(fmt::format(R"({{"message": "{}"}})", long_text)).message().size(), 4096U);
}

}  // namespace
}  // namespace trivet::guest
