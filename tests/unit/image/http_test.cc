#include "image/http.h"

#include <cstdlib>
#include <fcntl.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "image/http_fake_server.h"

namespace trivet::image {
namespace {

using test::FakeReply;
using test::FakeRequest;
using test::FakeServer;

HttpClient make_client(Bounds bounds = {.deadline = Clock::now() + std::chrono::seconds(20)}) {
  auto client = HttpClient::create({}, std::move(bounds));
  EXPECT_TRUE(client);
  return std::move(*client);
}

HttpRequest get(const std::string& url) {
  HttpRequest request;
  request.url = url;
  return request;
}

TEST(Loopback, IsKnownBySpelling) {
  for (const char* host :
       {"localhost", "localhost:5000", "127.0.0.1", "127.8.9.1:80", "::1", "[::1]", "[::1]:5000"}) {
    EXPECT_TRUE(is_loopback(host)) << host;
  }
  for (const char* host : {"", "example.com", "127.0.0.1.example.com", "128.0.0.1", "[::2]:1",
                           "localhost.example.com", "::2", "127.1"}) {
    EXPECT_FALSE(is_loopback(host)) << host;
  }
}

TEST(Urls, OriginHasThePort) {
  EXPECT_EQ(origin_of("https://a/b?c"), "https://a:443");
  EXPECT_EQ(origin_of("http://[::1]:5/x"), "http://[::1]:5");
  EXPECT_EQ(origin_of("ftp://a/"), "");
  EXPECT_EQ(origin_of("nothing"), "");
  EXPECT_EQ(origin_of("http://127.0.0.1@evil.example/"), "http://evil.example:80");
}

TEST(Urls, ResolvesLocations) {
  EXPECT_EQ(resolve_url("http://h:1/v2/a/", "/x?y=1").value(), "http://h:1/x?y=1");
  EXPECT_EQ(resolve_url("http://h:1/v2/a/", "https://o/z").value(), "https://o/z");
  EXPECT_FALSE(resolve_url("nonsense", ""));
}

TEST(Urls, EncodesAllButUnreserved) {
  EXPECT_EQ(percent_encode("a-Z_0.~ :/&=\xff"), "a-Z_0.~%20%3A%2F%26%3D%FF");
}

TEST(Http, ReturnsAnyStatusWithHeadersAndBody) {
  FakeServer server([](const FakeRequest&) {
    return FakeReply{.status = 404, .body = "no", .headers = {"X-One: 1", "x-one: 2"}};
  });
  HttpClient client = make_client();
  const auto response = client.perform(get(server.url("/x")));
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->status, 404);
  EXPECT_EQ(response->body, "no");
  EXPECT_EQ(response->header("x-one"), "1, 2");
}

TEST(Http, LimitsWhatItCollects) {
  FakeServer server([](const FakeRequest& request) {
    return FakeReply{.status = request.path == "/error" ? 500 : 200,
                     .body = std::string(200000, 'x')};
  });
  HttpClient client = make_client();
  HttpRequest request = get(server.url("/"));
  request.response_limit = 100000;
  const auto response = client.perform(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kLimitExceeded);
  const auto page = client.perform(get(server.url("/error")));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->status, 500);
  EXPECT_EQ(page->body.size(), 65536U);
}

TEST(Http, ReturnsTheErrorOfTheBodysTaker) {
  FakeServer server([](const FakeRequest&) { return FakeReply{.body = "hello"}; });
  HttpClient client = make_client();
  HttpRequest request = get(server.url("/"));
  request.on_body = [](const HttpResponse&, std::string_view) -> Result<> {
    return fail(ErrorCode::kCorrupt, "not that");
  };
  const auto response = client.perform(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kCorrupt);
}

TEST(Http, ABrokenTransferIsWorthAnotherTry) {
  FakeServer server([](const FakeRequest&) {
    return FakeReply{.body = std::string(1000, 'x'), .send_only = 10};
  });
  HttpClient client = make_client();
  const auto response = client.perform(get(server.url("/")));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kNetwork);
}

TEST(Http, CredentialsStayWithTheirHost) {
  FakeServer other([](const FakeRequest&) { return FakeReply{.body = "blob"}; });
  FakeServer registry([&](const FakeRequest& request) {
    if (request.path == "/here") return FakeReply{.body = "here"};
    const std::string place = request.path == "/away" ? other.url("/blob") : "/here";
    return FakeReply{.status = 307, .headers = {"Location: " + place}};
  });
  HttpClient client = make_client();
  for (const Authorization& authorization :
       {Authorization{Authorization::Kind::kBasic, "u", "p"},
        Authorization{Authorization::Kind::kBearer, "", "t"}}) {
    HttpRequest request = get(registry.url("/away"));
    request.authorization = authorization;
    const auto response = client.perform(request);
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ(response->body, "blob");
    EXPECT_TRUE(registry.requests().back().headers.contains("authorization"));
    EXPECT_FALSE(other.requests().back().headers.contains("authorization"));
    request.url = registry.url("/local");
    ASSERT_TRUE(client.perform(request));
    EXPECT_EQ(registry.requests().back().path, "/here");
    EXPECT_TRUE(registry.requests().back().headers.contains("authorization"));
  }
  // Nor do they linger for the next request of the client.
  ASSERT_TRUE(client.perform(get(registry.url("/here"))));
  EXPECT_FALSE(registry.requests().back().headers.contains("authorization"));
}

TEST(Http, CredentialsNeedTlsOrLoopback) {
  HttpClient client = make_client();
  HttpRequest request = get("http://192.0.2.1/");
  request.authorization = {Authorization::Kind::kBearer, "", "t"};
  const auto response = client.perform(request);
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kPermissionDenied);
}

TEST(Http, RedirectsToOtherProtocolsAreRefused) {
  FakeServer server([](const FakeRequest&) {
    return FakeReply{.status = 302, .headers = {"Location: file:///etc/passwd"}};
  });
  HttpClient client = make_client();
  const auto response = client.perform(get(server.url("/")));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kCorrupt);
}

TEST(Http, StreamsAFile) {
  FakeServer server([](const FakeRequest&) { return FakeReply{.status = 201}; });
  std::string path = testing::TempDir() + "trivet-http-XXXXXX";
  const UniqueFd file(::mkstemp(path.data()));
  ::unlink(path.c_str());
  ASSERT_TRUE(write_all(file.get(), std::string(300000, 'y'), "file"));
  HttpClient client = make_client();
  HttpRequest request;
  request.method = "PUT";
  request.url = server.url("/up");
  request.body_fd = file.get();
  request.body_size = 300000;
  uint64_t sent = 0;
  request.on_sent = [&](uint64_t count) { sent = count; };
  const auto response = client.perform(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->status, 201);
  EXPECT_EQ(sent, 300000U);
  EXPECT_EQ(server.requests().at(0).method, "PUT");
  EXPECT_EQ(server.requests().at(0).body, std::string(300000, 'y'));
}

TEST(Http, StopsWhenAsked) {
  std::stop_source stop;
  FakeServer server([&](const FakeRequest&) {
    stop.request_stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    return FakeReply{};
  });
  HttpClient client =
      make_client({.deadline = Clock::now() + std::chrono::seconds(20), .stop = stop.get_token()});
  const auto response = client.perform(get(server.url("/")));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kCanceled);
  EXPECT_EQ(client.perform(get(server.url("/"))).error().code(), ErrorCode::kCanceled);
}

TEST(Http, ADeadlineAndAStallAreDifferent) {
  FakeServer server([](const FakeRequest&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2500));
    return FakeReply{};
  });
  HttpClient late = make_client({.deadline = Clock::now() + std::chrono::milliseconds(300)});
  EXPECT_EQ(late.perform(get(server.url("/"))).error().code(), ErrorCode::kTimeout);
  EXPECT_EQ(late.perform(get(server.url("/"))).error().code(), ErrorCode::kTimeout);
  HttpClient stalled = make_client(
      {.deadline = Clock::now() + std::chrono::seconds(20), .stall = std::chrono::seconds(1)});
  EXPECT_EQ(stalled.perform(get(server.url("/"))).error().code(), ErrorCode::kNetwork);
}

TEST(Http, AnUnknownHostHasAHint) {
  HttpClient client = make_client();
  const auto response = client.perform(get("https://no-such-host.invalid/v2/"));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code(), ErrorCode::kSystem);
  EXPECT_THAT(response.error().message(), testing::HasSubstr("no-such-host.invalid"));
  EXPECT_FALSE(response.error().hint_text().empty());
}

TEST(Tls, ReadsAuthoritiesAndRefusesAMissingFile) {
  EXPECT_FALSE(load_tls_settings("r.example", true, "/nonexistent/ca.pem"));
  const auto settings = load_tls_settings("r.example", false, "");
  ASSERT_TRUE(settings);
  EXPECT_FALSE(settings->verify);
}

}  // namespace
}  // namespace trivet::image
