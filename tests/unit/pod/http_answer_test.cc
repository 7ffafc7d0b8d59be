#include "pod/http_answer.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::pod {
namespace {

using testing::HasSubstr;

// As the network may deliver it: a byte at a time.
Result<> feed_slowly(HttpAnswer& answer, std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) TRY(answer.feed(text.substr(i, 1)));
  return {};
}

Action get(std::string path) {
  Action action;
  action.kind = Action::Kind::kHttp;
  action.port = 8080;
  action.path = std::move(path);
  return action;
}

TEST(HttpRequest, HasKubernetesHeaders) {
  EXPECT_EQ(print_http_request(get("/healthz?full=1")).value(),
            "GET /healthz?full=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
            "User-Agent: kube-probe/trivet\r\nAccept: */*\r\nConnection: close\r\n\r\n");
}

TEST(HttpRequest, ReplacesItsOwnHeadersAndAddsOthers) {
  Action action = get("x");
  action.host = "::1";
  action.headers = {{"HOST", "web.example"}, {"Accept", ""}, {"X-Probe", "yes"}};
  EXPECT_EQ(print_http_request(action).value(),
            "GET /x HTTP/1.1\r\nHost: web.example\r\nUser-Agent: kube-probe/trivet\r\n"
            "X-Probe: yes\r\nConnection: close\r\n\r\n");
}

TEST(HttpRequest, CannotBeMadeIntoTwo) {
  EXPECT_THAT(print_http_request(get("/a b\r\nX: y")).value(),
              HasSubstr("GET /a%20b%0D%0AX:%20y HTTP/1.1\r\n"));
  Action action = get("/");
  action.headers = {{"X-Probe", "a\r\nEvil: yes"}};
  EXPECT_EQ(print_http_request(action).error().code(), ErrorCode::kInvalidArgument);
  action.headers = {{"X Probe", "a"}};
  EXPECT_EQ(print_http_request(action).error().code(), ErrorCode::kInvalidArgument);
}

TEST(HttpAnswer, IsCompleteWhenItsLengthIsThere) {
  HttpAnswer answer;
  ASSERT_TRUE(feed_slowly(answer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"));
  EXPECT_EQ(answer.status(), 200);
  EXPECT_FALSE(answer.complete());
  ASSERT_TRUE(answer.feed("k"));
  EXPECT_TRUE(answer.complete());
}

TEST(HttpAnswer, SeesTheEndOfAChunkedBody) {
  HttpAnswer answer;
  ASSERT_TRUE(feed_slowly(answer, "HTTP/1.1 503\nTransfer-Encoding: chunked\n\n2\r\nno\r\n0\r\n"));
  EXPECT_FALSE(answer.complete());
  ASSERT_TRUE(answer.feed("\r\n"));
  EXPECT_TRUE(answer.complete());
  EXPECT_EQ(answer.status(), 503);
}

TEST(HttpAnswer, SkipsInterimAnswers) {
  HttpAnswer answer;
  ASSERT_TRUE(answer.feed("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"));
  EXPECT_EQ(answer.status(), 0);
  ASSERT_TRUE(answer.feed("HTTP/1.1 204 No Content\r\n\r\n"));
  EXPECT_EQ(answer.status(), 204);
  EXPECT_TRUE(answer.complete());
}

TEST(HttpAnswer, ReadsSoMuchOfABodyAndNoMore) {
  HttpAnswer answer;
  ASSERT_TRUE(answer.feed("HTTP/1.0 200 \r\n\r\n"));
  ASSERT_TRUE(answer.feed(std::string(HttpAnswer::kMaxBody - 1, 'x')));
  EXPECT_FALSE(answer.complete());
  ASSERT_TRUE(answer.feed("xx"));
  EXPECT_TRUE(answer.complete());
}

TEST(HttpAnswer, RefusesWhatIsNoHttp) {
  for (const char* text :
       {"SSH-2.0-OpenSSH_9.2\r\n", "\r\n", "HTTP/2 200\r\n", "HTTP/1.1 2x0 OK\r\n",
        "HTTP/1.1 099 Odd\r\n", "HTTP/1.1 600 Odd\r\n", "HTTP/1.1 2000\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n", "HTTP/1.1 200 OK\r\n: empty\r\n",
        "HTTP/1.1 200 OK\r\nA b: c\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n",
        "HTTP/1.1 200 OK\r\nA: \x01\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n"}) {
    HttpAnswer answer;
    const auto fed = answer.feed(text);
    ASSERT_FALSE(fed) << text;
    EXPECT_EQ(fed.error().code(), ErrorCode::kCorrupt) << text;
  }
}

TEST(HttpAnswer, RefusesEndlessHeaders) {
  for (const std::string_view piece : {"X: y\r\n", "X", "HTTP/1.1 100 Continue\r\n\r\n"}) {
    HttpAnswer answer;
    if (!piece.starts_with("HTTP")) {
      ASSERT_TRUE(answer.feed("HTTP/1.1 200 OK\r\n"));
    }
    Result<> fed;
    for (size_t i = 0; i < HttpAnswer::kMaxHeader && fed; ++i) fed = answer.feed(piece);
    ASSERT_FALSE(fed);
    EXPECT_EQ(fed.error().code(), ErrorCode::kLimitExceeded);
  }
}

}  // namespace
}  // namespace trivet::pod
