#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/network.h"
#include "net/routes.h"

namespace trivet::net {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(HostsFile, NamesTheContainer) {
  const auto text = make_hosts_file({.hostname = "abc",
                                     .name = "web",
                                     .address = "192.0.2.2",
                                     .extra = {"db:10.0.0.1", "six:[fd00::1]", "six2:fd00::2"}});
  ASSERT_TRUE(text);
  EXPECT_EQ(*text,
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
            "192.0.2.2\tabc web\n10.0.0.1\tdb\nfd00::1\tsix\nfd00::2\tsix2\n");
  EXPECT_THAT(make_hosts_file({.hostname = "abc"}).value(), HasSubstr("127.0.1.1\tabc\n"));
}

TEST(HostsFile, RefusesMalformedEntries) {
  for (const char* entry : {"db", "db:", ":1.2.3.4", "db:host-gateway", "a b:1.2.3.4",
                            "db:1.2.3.4\n6.6.6.6 evil", "d\nb:1.2.3.4"}) {
    EXPECT_FALSE(make_hosts_file({.extra = {entry}})) << entry;
  }
}

constexpr const char* kHostFile =
    "# comment\nnameserver 127.0.0.53\nnameserver 192.0.2.53 # local\nsearch old\n"
    "search example.org lan\noptions edns0\n";

TEST(ResolvConf, ReplacesLoopbackServersByMode) {
  EXPECT_EQ(make_resolv_conf(kHostFile, Mode::kPasta, {}).value(),
            "search example.org lan\nnameserver 169.254.1.1\nnameserver 192.0.2.53\n"
            "options edns0\n");
  EXPECT_EQ(make_resolv_conf(kHostFile, Mode::kNone, {}).value(),
            "search example.org lan\nnameserver 192.0.2.53\noptions edns0\n");
  EXPECT_THAT(make_resolv_conf(kHostFile, Mode::kHost, {}).value(),
              HasSubstr("nameserver 127.0.0.53\n"));
}

TEST(ResolvConf, OptionsReplaceTheHosts) {
  EXPECT_EQ(
      make_resolv_conf(
          kHostFile, Mode::kPasta,
          {.servers = {"127.0.0.1", "fd00::1"}, .searches = {"a", "b"}, .options = {"ndots:2"}})
          .value(),
      "search a b\nnameserver 127.0.0.1\nnameserver fd00::1\noptions ndots:2\n");
  EXPECT_THAT(make_resolv_conf(kHostFile, Mode::kPasta, {.searches = {"."}}).value(),
              Not(HasSubstr("search")));
}

TEST(ResolvConf, RefusesWhatWouldBreakOutOfItsLine) {
  EXPECT_FALSE(make_resolv_conf("", Mode::kPasta, {.servers = {"dns.example"}}));
  EXPECT_FALSE(make_resolv_conf("", Mode::kPasta, {.searches = {"a\nnameserver 6.6.6.6"}}));
  EXPECT_FALSE(make_resolv_conf("", Mode::kPasta, {.options = {"a b"}}));
  EXPECT_FALSE(make_resolv_conf("", Mode::kPasta, {.options = {""}}));
}

TEST(Routes, FindsTheFirstDefaultRoute) {
  EXPECT_EQ(
      find_default_interface_v4("Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"
                                "eth1\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
                                "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"),
      "eth0");
  EXPECT_EQ(find_default_interface_v4("Iface\tDestination\n"), "");
  const std::string zeros(32, '0');
  const std::string table = zeros + " 00 " + zeros + " 00 " + zeros +
                            " ffffffff 1 0 00200200 lo\n" + zeros + " 00 " + zeros +
                            " 00 fd000000000000000000000000000001 00000400 1 0 00000003 eth0\n";
  EXPECT_EQ(find_default_interface_v6(table), "eth0");
  EXPECT_FALSE(pasta_address().empty());
}

}  // namespace
}  // namespace trivet::net
