#include "image/auth.h"

#include <cstdlib>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "image/http_fake_server.h"

namespace trivet::image {
namespace {

using test::FakeReply;
using test::FakeRequest;
using test::FakeServer;

// A directory that goes with the test.
class AuthFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "trivet-auth-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, directory_); }

  std::string write(const std::string& name, const std::string& content, mode_t mode = 0600) {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(replace_file(AT_FDCWD, path, content, mode));
    return path;
  }
  // Puts docker-credential-NAME on PATH.
  void add_helper(const std::string& name, const std::string& script) {
    write("docker-credential-" + name, "#!/bin/sh\n" + script, 0755);
    const char* path = std::getenv("PATH");
    ::setenv("PATH", (directory_ + ":" + (path == nullptr ? "" : path)).c_str(), 1);
  }
  Credentials look_up(const std::string& content, const std::string& registry,
                      const std::string& repository = "a/b") {
    auto found = find_in_auth_file(write("config.json", content), registry, repository);
    EXPECT_TRUE(found) << found.error().message();
    return found ? found->value_or(Credentials{}) : Credentials{};
  }

  std::string directory_;
};

TEST(Challenges, ReadsBearerParameters) {
  const auto challenges = parse_challenges(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",)"
      R"(scope="repository:library/busybox:pull,push")");
  ASSERT_EQ(challenges.size(), 1U);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_EQ(challenges[0].parameters.at("realm"), "https://auth.docker.io/token");
  EXPECT_EQ(challenges[0].parameters.at("service"), "registry.docker.io");
  EXPECT_EQ(challenges[0].parameters.at("scope"), "repository:library/busybox:pull,push");
}

TEST(Challenges, ReadsSeveralInOneHeader) {
  const auto challenges =
      parse_challenges(R"(Negotiate, Basic realm="a, \"b\"" , BEARER Realm=x, error = "e")");
  ASSERT_EQ(challenges.size(), 3U);
  EXPECT_EQ(challenges[0].scheme, "negotiate");
  EXPECT_EQ(challenges[1].scheme, "basic");
  EXPECT_EQ(challenges[1].parameters.at("realm"), "a, \"b\"");
  EXPECT_EQ(challenges[2].scheme, "bearer");
  EXPECT_EQ(challenges[2].parameters.at("realm"), "x");
  EXPECT_EQ(challenges[2].parameters.at("error"), "e");
}

TEST(Challenges, SurvivesNonsense) {
  for (const char* text : {"", ",", "=", "\"", "Bearer realm=", "Bearer realm=\"", "Bearer \"x\\",
                           "a=b", "\x01\xff", "Bearer realm==,,=\"\""}) {
    (void)parse_challenges(text);
  }
  EXPECT_TRUE(parse_challenges("a=b").empty());
}

TEST(Base64, DecodesOnlyBase64) {
  EXPECT_EQ(decode_base64("dXNlcjpwYXNz"), "user:pass");
  EXPECT_EQ(decode_base64("dTpw"), "u:p");
  EXPECT_EQ(decode_base64("dTpwdw=="), "u:pw");
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_FALSE(decode_base64("dTpwd"));
  EXPECT_FALSE(decode_base64("d*=="));
  EXPECT_FALSE(decode_base64("===="));
}

TEST(CredentialsOption, NeedsUserAndColon) {
  const auto parsed = parse_credentials("me:a:b");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->user, "me");
  EXPECT_EQ(parsed->password, "a:b");
  EXPECT_FALSE(parse_credentials("me"));
  EXPECT_FALSE(parse_credentials(":x"));
}

TEST_F(AuthFile, FindsByHostInAllItsSpellings) {
  const std::string entry = R"({"auth":"dXNlcjpwYXNz"})";
  for (const char* key : {"r.example:5000", "https://r.example:5000", "https://r.example:5000/v1/",
                          "http://r.example:5000/v2/"}) {
    const auto found =
        look_up(fmt::format(R"({{"auths":{{"{}":{}}}}})", key, entry), "r.example:5000");
    EXPECT_EQ(found.user, "user") << key;
    EXPECT_EQ(found.password, "pass") << key;
  }
  EXPECT_TRUE(look_up(R"({"auths":{"r.example":{"auth":"dTpw"}}})", "r.example:5000").empty());
}

TEST_F(AuthFile, KnowsDockerHubsKey) {
  const auto found =
      look_up(R"({"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"}}})", "docker.io");
  EXPECT_EQ(found.user, "u");
}

TEST_F(AuthFile, PrefersTheLongestKey) {
  const auto found = look_up(R"({"auths":{"r":{"auth":"dTpw"},"r/a":{"username":"deep"},
                             "r/ab":{"username":"other"}}})",
                             "r", "a/b");
  EXPECT_EQ(found.user, "deep");
}

TEST_F(AuthFile, AsksTheHelperOfTheRegistry) {
  add_helper("one", R"(read s; [ "$1" = get ] && echo "{\"ServerURL\":\"$s\",\"Username\":\"$s\",)"
                    R"(\"Secret\":\"pw\"}")");
  const auto found = look_up(
      R"({"credHelpers":{"r:1":"one"},"credsStore":"none","auths":{"r:1":{"auth":"dTpw"}}})",
      "r:1");
  EXPECT_EQ(found.user, "r:1");
  EXPECT_EQ(found.password, "pw");
}

TEST_F(AuthFile, AsksTheStoreWhenTheEntryIsEmpty) {
  add_helper("two", R"(cat >/dev/null; echo '{"Username":"<token>","Secret":"refresh"}')");
  const auto found = look_up(R"({"auths":{"r":{}},"credsStore":"two"})", "r");
  EXPECT_EQ(found.identity_token, "refresh");
  EXPECT_TRUE(found.user.empty());
}

TEST_F(AuthFile, NothingInTheStoreIsNoError) {
  add_helper("three", "cat >/dev/null; echo credentials not found in native keychain; exit 1");
  EXPECT_TRUE(look_up(R"({"credsStore":"three"})", "r").empty());
}

TEST_F(AuthFile, RefusesAHelperWithAPath) {
  const auto found =
      find_in_auth_file(write("c.json", R"({"credsStore":"../../bin/sh"})"), "r", "a");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(AuthFile, SaysWhereItIsMalformed) {
  const auto found =
      find_in_auth_file(write("c.json", R"({"auths":{"r":{"auth":"%%"}}})"), "r", "a");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message(), testing::HasSubstr("auths.r.auth"));
  EXPECT_THAT(found.error().message(), testing::Not(testing::HasSubstr("%%")));
}

TEST_F(AuthFile, AnExplicitFileMustExist) {
  EXPECT_FALSE(find_auth_files(directory_ + "/none.json"));
  EXPECT_TRUE(find_auth_files(write("some.json", "{}")));
}

class Tokens : public testing::Test {
 protected:
  static Result<Authorization> fetch(const FakeServer& server, const Credentials& credentials,
                                     const std::string& scope = "") {
    auto client = HttpClient::create({}, {.deadline = Clock::now() + std::chrono::seconds(20)});
    EXPECT_TRUE(client);
    Challenge challenge{"bearer", {{"realm", server.url("/token")}, {"service", "my registry"}}};
    if (!scope.empty()) challenge.parameters["scope"] = scope;
    return fetch_token(*client, challenge, "repository:a/b:pull", credentials);
  }
};

TEST_F(Tokens, AnonymousGetNamesServiceAndScope) {
  FakeServer server([](const FakeRequest&) { return FakeReply{.body = R"({"token":"T1"})"}; });
  const auto token = fetch(server, {});
  ASSERT_TRUE(token) << token.error().message();
  EXPECT_EQ(token->secret, "T1");
  ASSERT_EQ(server.requests().size(), 1U);
  EXPECT_EQ(server.requests()[0].path,
            "/token?service=my%20registry&scope=repository%3Aa%2Fb%3Apull");
  EXPECT_FALSE(server.requests()[0].headers.contains("authorization"));
}

TEST_F(Tokens, UserAndPasswordGoAsBasic) {
  FakeServer server(
      [](const FakeRequest&) { return FakeReply{.body = R"({"access_token":"T2"})"}; });
  const auto token = fetch(server, {.user = "user", .password = "pass"}, "s1 s2");
  ASSERT_TRUE(token) << token.error().message();
  EXPECT_EQ(token->secret, "T2");
  const FakeRequest request = server.requests().at(0);
  EXPECT_EQ(request.headers.at("authorization"), "Basic dXNlcjpwYXNz");
  EXPECT_THAT(request.path, testing::HasSubstr("scope=s1&scope=s2&account=user"));
}

TEST_F(Tokens, AnIdentityTokenIsPosted) {
  FakeServer server(
      [](const FakeRequest&) { return FakeReply{.body = R"({"access_token":"T3"})"}; });
  const auto token = fetch(server, {.identity_token = "ref/resh"});
  ASSERT_TRUE(token) << token.error().message();
  const FakeRequest request = server.requests().at(0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/token");
  EXPECT_THAT(request.body, testing::HasSubstr("refresh_token=ref%2Fresh"));
  EXPECT_THAT(request.body, testing::HasSubstr("grant_type=refresh_token"));
}

TEST_F(Tokens, RefusalAndOutageAreTold) {
  FakeServer refusing([](const FakeRequest&) { return FakeReply{.status = 401}; });
  EXPECT_EQ(fetch(refusing, {}).error().code(), ErrorCode::kUnauthorized);
  FakeServer broken([](const FakeRequest&) { return FakeReply{.status = 503}; });
  EXPECT_EQ(fetch(broken, {}).error().code(), ErrorCode::kNetwork);
}

TEST_F(Tokens, ATokenWithALineBreakIsRefused) {
  FakeServer server(
      [](const FakeRequest&) { return FakeReply{.body = R"({"token":"T\r\nX-Evil: 1"})"}; });
  EXPECT_EQ(fetch(server, {}).error().code(), ErrorCode::kCorrupt);
}

TEST_F(Tokens, CredentialsStayOffPlainHttp) {
  auto client = HttpClient::create({}, {.deadline = Clock::now() + std::chrono::seconds(20)});
  ASSERT_TRUE(client);
  const Challenge challenge{"bearer", {{"realm", "http://192.0.2.1/token"}}};
  for (const Credentials& credentials :
       {Credentials{.user = "u", .password = "p"}, Credentials{.identity_token = "i"}}) {
    const auto token = fetch_token(*client, challenge, "s", credentials);
    ASSERT_FALSE(token);
    EXPECT_EQ(token.error().code(), ErrorCode::kPermissionDenied);
  }
}

}  // namespace
}  // namespace trivet::image
