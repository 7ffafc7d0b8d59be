#include "pod/grpc_health.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pod/grpc_server.h"

namespace trivet::pod {
namespace {

using testing::HasSubstr;

// The whole conversation in memory.
Result<> ask(GrpcAnswer answer, std::string_view service = "", GrpcRequest* seen = nullptr) {
  GrpcRequest request;
  GrpcServerSession server(std::move(answer), request);
  auto check = TRY(GrpcHealthCheck::create("127.0.0.1:50051", service));
  for (int turn = 0; turn < 10 && !check->outcome(); ++turn) {
    const std::string output = TRY(check->take_output());
    TRY(check->feed(server.exchange(output)));
  }
  if (seen != nullptr) *seen = request;
  return check->outcome().value_or(fail(ErrorCode::kTimeout, "no outcome"));
}

std::string message_of(const Result<>& outcome) {
  return outcome ? "success" : outcome.error().message();
}

TEST(GrpcHealth, ServingIsSuccess) {
  GrpcRequest seen;
  EXPECT_EQ(message_of(ask({}, "", &seen)), "success");
  EXPECT_EQ(seen.path, "/grpc.health.v1.Health/Check");
  EXPECT_EQ(seen.body, std::string(5, '\0'));
}

TEST(GrpcHealth, AsksForTheService) {
  GrpcRequest seen;
  EXPECT_EQ(message_of(ask({}, "db", &seen)), "success");
  EXPECT_EQ(seen.body, std::string("\0\0\0\0\4\x0a\2db", 9));
}

TEST(GrpcHealth, SaysWhatIsWrong) {
  EXPECT_EQ(message_of(ask({.body = std::string("\0\0\0\0\2\x08\2", 7)})),
            "the service is NOT_SERVING");
  EXPECT_EQ(message_of(ask({.body = std::string("\0\0\0\0\0", 5)})), "the service is UNKNOWN");
  EXPECT_EQ(message_of(ask({.body = "", .grpc_status = "12"})),
            "the server does not have the service grpc.health.v1.Health");
  EXPECT_EQ(message_of(ask({.body = "", .grpc_status = "5"}, "x")),
            "the server does not know the service");
  EXPECT_EQ(message_of(ask({.body = "", .grpc_status = "13", .grpc_message = "broken"})),
            "gRPC status 13: broken");
  EXPECT_EQ(message_of(ask({.http_status = "404"})), "HTTP status code 404");
  EXPECT_THAT(message_of(ask({.grpc_status = ""})), HasSubstr("is it a gRPC server?"));
  EXPECT_THAT(message_of(ask({.grpc_status = "0x"})), HasSubstr("is it a gRPC server?"));
}

TEST(GrpcHealth, RefusesMessagesThatAreNone) {
  for (const std::string& body :
       {std::string(), std::string("\1\0\0\0\2\x08\1", 7), std::string("\0\0\0\0\3\x08\1", 7),
        std::string("\0\0\0\0\1\x08", 6), std::string("\0\0\0\0\2\x08\1\0", 8)}) {
    EXPECT_THAT(message_of(ask({.body = body})), HasSubstr("the health answer is no"));
  }
  EXPECT_THAT(message_of(ask({.body = std::string(9000, 'x')})), HasSubstr("no HTTP/2"));
}

TEST(GrpcHealth, ReadsProtobufStrictly) {
  EXPECT_EQ(parse_health_response("").value(), 0U);
  EXPECT_EQ(parse_health_response("\x08\x01").value(), 1U);
  EXPECT_EQ(parse_health_response("\x08\x02\x08\x01").value(), 1U);  // the last one counts
  EXPECT_EQ(parse_health_response("\x12\x03xyz\x08\x01").value(), 1U);
  for (const std::string_view text :
       {std::string_view("\x08"), std::string_view("\x08\x80"), std::string_view("\x12\x05xyz"),
        std::string_view("\x0b\x01"), std::string_view("\x0d\1\1\1\1"), std::string_view("\0\1", 2),
        std::string_view("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")}) {
    EXPECT_FALSE(parse_health_response(text));
  }
}

TEST(GrpcHealth, RefusesWhatIsNoHttp2) {
  auto check = GrpcHealthCheck::create("127.0.0.1:1", "").value();
  ASSERT_TRUE(check->take_output());
  const auto fed = check->feed("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(!fed || !check->take_output());
}

TEST(GrpcHealth, IsNotFloodedByFrames) {
  GrpcRequest request;
  GrpcServerSession server({}, request);
  auto check = GrpcHealthCheck::create("127.0.0.1:1", "").value();
  ASSERT_TRUE(check->take_output());
  ASSERT_TRUE(check->feed(server.exchange("")));
  const std::string ping("\0\0\x08\6\0\0\0\0\0pingpong", 17);
  Result<> fed;
  for (size_t i = 0; i < GrpcHealthCheck::kMaxInput && fed; ++i) fed = check->feed(ping);
  EXPECT_FALSE(fed);
}

}  // namespace
}  // namespace trivet::pod
