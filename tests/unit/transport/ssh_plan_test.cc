#include "transport/ssh_plan.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transport/ssh_endpoint.h"
#include "transport/ssh_log.h"

namespace trivet::transport {
namespace {

using std::string_literals::operator""s;
using testing::Contains;
using testing::HasSubstr;

SshOptions good_options() {
  return {.endpoint = [] { return Result<SshEndpoint>(SshEndpoint{"127.0.0.1", 2222}); },
          .identity_file = "/keys/id",
          .known_hosts = "/keys/known hosts"};
}

std::string refusal(const SshOptions& options) {
  const auto checked = check_options(options);
  return checked ? "fine" : checked.error().message();
}

TEST(Endpoint, IsParsed) {
  EXPECT_EQ(*SshEndpoint::parse("127.0.0.1:2222"), (SshEndpoint{"127.0.0.1", 2222}));
  EXPECT_EQ(*SshEndpoint::parse("[::1]:22"), (SshEndpoint{"::1", 22}));
  EXPECT_EQ(*SshEndpoint::parse("localhost:65535"), (SshEndpoint{"localhost", 65535}));
  EXPECT_EQ(*SshEndpoint::parse("guest-1.example:22"), (SshEndpoint{"guest-1.example", 22}));
}

TEST(Endpoint, HostileTextIsRefused) {
  for (const std::string& text : {""s,
                                  "127.0.0.1"s,
                                  ":22"s,
                                  "127.0.0.1:"s,
                                  "127.0.0.1:0"s,
                                  "127.0.0.1:65536"s,
                                  "127.0.0.1:-1"s,
                                  "127.0.0.1:+22"s,
                                  "127.0.0.1: 22"s,
                                  "127.0.0.1:22\n"s,
                                  "127.0.0.1:2 2"s,
                                  "127.0.0.1:99999999999999999999"s,
                                  "-oProxyCommand=id:22"s,
                                  "-:22"s,
                                  "a b:22"s,
                                  "a\nb:22"s,
                                  "$(id):22"s,
                                  "`id`:22"s,
                                  "user@host:22"s,
                                  "ssh://host:22"s,
                                  "::1:22"s,
                                  "[::1:22"s,
                                  "[]:22"s,
                                  "[fe80::1%eth0]:22"s,
                                  "[host]:22"s,
                                  "%h:22"s,
                                  "a\0b:22"s,
                                  "h'\"x:22"s,
                                  "host.:22"s,
                                  "höst:22"s,
                                  std::string(300, 'a') + ":22"}) {
    const auto endpoint = SshEndpoint::parse(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_EQ(endpoint.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(endpoint.error().hint_text(), HasSubstr("HOST:PORT"));
  }
}

TEST(Endpoint, IsOnTheLoopbackInterfaceUnlessMoreIsAllowed) {
  for (const char* host : {"127.0.0.1", "127.3.2.1", "::1", "localhost"}) {
    EXPECT_TRUE(check_endpoint({host, 22}, SshReach::kLoopback)) << host;
  }
  for (const char* host : {"10.0.0.1", "128.0.0.1", "::2", "::", "0.0.0.0", "localhost.example",
                           "127.0.0.1.example", "127.1"}) {
    const auto checked = check_endpoint({host, 22}, SshReach::kLoopback);
    ASSERT_FALSE(checked) << host;
    EXPECT_THAT(checked.error().hint_text(), HasSubstr("kAnyHost"));
    EXPECT_TRUE(check_endpoint({host, 22}, SshReach::kAnyHost)) << host;
  }
}

TEST(User, IsANameOfUnix) {
  for (const char* user : {"dev", "root", "a", "_apt", "systemd-network", "j.doe"}) {
    EXPECT_TRUE(check_user(user)) << user;
  }
  for (const std::string& user : {""s, "-l"s, "-oX"s, "a b"s, "a@b"s, "a\nb"s, "$(id)"s, "dev:dev"s,
                                  "é"s, "a\0b"s, std::string(33, 'a')}) {
    EXPECT_FALSE(check_user(user)) << user;
  }
}

TEST(Options, AreChecked) {
  EXPECT_EQ(refusal(good_options()), "fine");
  const auto with = [](auto change) {
    SshOptions options = good_options();
    change(options);
    return refusal(options);
  };
  EXPECT_THAT(with([](auto& o) { o.endpoint = nullptr; }), HasSubstr("endpoint"));
  for (const std::string& path :
       {""s, "id"s, "~/.ssh/id"s, "/a\"b"s, "/a\\b"s, "/a\nb"s, "/${HOME}/id"s, "/a\0b"s}) {
    EXPECT_THAT(with([&](auto& o) { o.identity_file = path; }), HasSubstr("identity file"));
    EXPECT_THAT(with([&](auto& o) { o.known_hosts = path; }), HasSubstr("known hosts"));
  }
  EXPECT_EQ(with([](auto& o) {
              o.known_hosts = "";
              o.host_keys = SshHostKeys::kUnchecked;
            }),
            "fine");
  EXPECT_THAT(with([](auto& o) { o.host_key_alias = "-x"; }), HasSubstr("alias"));
  EXPECT_THAT(with([](auto& o) { o.user = "-l root"; }), HasSubstr("user"));
  EXPECT_THAT(with([](auto& o) { o.workdir = "workspace"; }), HasSubstr("absolute"));
  EXPECT_THAT(with([](auto& o) { o.connect_timeout = std::chrono::seconds(0); }),
              HasSubstr("time limit"));
}

TEST(Arguments, LeaveNothingToTheUsersConfiguration) {
  const std::vector<std::string> argv = ssh_argv(good_options(), {"127.0.0.1", 2222}, "dev",
                                                 Terminal::kNo, "/log", "-oProxyCommand=id");
  EXPECT_EQ(argv[0], "ssh");
  EXPECT_EQ(argv[1], "-F");
  EXPECT_EQ(argv[2], "none");
  for (const char* setting :
       {"BatchMode=yes", "IdentitiesOnly=yes", "IdentityAgent=none", "ProxyCommand=none",
        "StrictHostKeyChecking=yes", "UserKnownHostsFile=\"/keys/known hosts\"",
        "IdentityFile=\"/keys/id\"", "GlobalKnownHostsFile=/dev/null", "-T"}) {
    EXPECT_THAT(argv, Contains(setting));
  }
  EXPECT_THAT(argv, testing::Not(Contains("-tt")));
  const auto end = std::ranges::find(argv, "--");
  EXPECT_THAT(std::vector<std::string>(end, argv.end()),
              testing::ElementsAre("--", "127.0.0.1", "-oProxyCommand=id"));
}

TEST(Arguments, SayWhoseHostKeysAreTaken) {
  SshOptions options = good_options();
  const auto argv = [&] { return ssh_argv(options, {"::1", 22}, "root", Terminal::kYes, "", ""); };
  EXPECT_THAT(argv(), Contains("-tt"));
  EXPECT_THAT(argv(), testing::Not(Contains("-E")));
  options.host_keys = SshHostKeys::kAcceptNew;
  EXPECT_THAT(argv(), Contains("StrictHostKeyChecking=accept-new"));
  options.host_keys = SshHostKeys::kUnchecked;
  EXPECT_THAT(argv(), Contains("StrictHostKeyChecking=no"));
  EXPECT_THAT(argv(), Contains("UserKnownHostsFile=/dev/null"));
  options.identity_file = "/50%/id";
  EXPECT_THAT(argv(), Contains("IdentityFile=\"/50%%/id\""));
}

// As docs/transports.md has it.
TEST(Documentation, TheExampleIsAccepted) {
  trivet::SshOptions options;
  options.endpoint = [] { return trivet::SshEndpoint::parse("127.0.0.1:2222"); };
  options.identity_file = "/srv/guest/id";
  options.known_hosts = "/srv/guest/known_hosts";
  options.user = "dev";
  const auto guest = trivet::make_ssh_transport(options);
  const auto done =
      (*guest)->run({.argv = {"sh", "-c", "make test"}, .timeout = std::chrono::minutes(5)});
  ASSERT_FALSE(done) << "there is no such key";
  EXPECT_EQ(done.error().code(), ErrorCode::kUnauthorized);
}

TEST(Log, TellsWhoseExitCodeItIs) {
  EXPECT_TRUE(status_arrived("debug1: x\ndebug1: Exit status 255\n"));
  EXPECT_TRUE(status_arrived("debug1: Exit status 0"));
  EXPECT_FALSE(status_arrived("debug1: Exit status -1\n"));
  EXPECT_FALSE(status_arrived("ssh: connect to host x port 1: Connection refused\n"));
  EXPECT_FALSE(status_arrived("debug1: banner: debug1: Exit status 255\n"));
  EXPECT_FALSE(status_arrived(""));
}

TEST(Log, GivesReasonsWithCodes) {
  const auto refused = connection_error(
      "debug1: Connecting\r\nssh: connect to host 127.0.0.1 port 1: Connection refused\r\n");
  EXPECT_EQ(refused.message(), "connect to host 127.0.0.1 port 1: Connection refused");
  EXPECT_EQ(refused.code(), ErrorCode::kNetwork);
  EXPECT_THAT(refused.hint_text(), HasSubstr("published"));
  EXPECT_EQ(connection_error("root@h: Permission denied (publickey).\n").code(),
            ErrorCode::kUnauthorized);
  EXPECT_EQ(connection_error("Host key verification failed.\n").code(),
            ErrorCode::kPermissionDenied);
  EXPECT_EQ(connection_error("Connection closed by 127.0.0.1\x1b[2J\n").message(),
            "Connection closed by 127.0.0.1\\x1b[2J");
  EXPECT_EQ(connection_error("").code(), ErrorCode::kNetwork);
}

}  // namespace
}  // namespace trivet::transport
