#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/unique_fd.h"
#include "net/network.h"

namespace trivet::net {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<PortMapping> publish(std::string_view text) {
  auto ports = parse_publish(text);
  EXPECT_TRUE(ports) << text << ": " << ports.error().message();
  return ports.value_or(std::vector<PortMapping>{});
}

TEST(Network, ParsesEveryMode) {
  EXPECT_EQ(parse_network("pasta")->mode, Mode::kPasta);
  EXPECT_EQ(parse_network("none")->mode, Mode::kNone);
  EXPECT_EQ(parse_network("host")->mode, Mode::kHost);
  EXPECT_EQ(parse_network("container:web")->target, "web");
  EXPECT_EQ(parse_network("ns:/run/netns/a")->target, "/run/netns/a");
  for (const char* text : {"", "bridge", "container:", "ns:", "ns:relative", "Host"}) {
    EXPECT_FALSE(parse_network(text)) << text;
  }
  EXPECT_THAT(parse_network("bridge").error().hint_text(), HasSubstr("container:NAME"));
}

TEST(Publish, ParsesDockersForms) {
  EXPECT_THAT(publish("80"), ElementsAre(PortMapping{.container_port = 80}));
  EXPECT_THAT(publish("8080:80"),
              ElementsAre(PortMapping{.host_port = 8080, .container_port = 80}));
  EXPECT_THAT(
      publish("127.0.0.1:8080:80/udp"),
      ElementsAre(PortMapping{
          .host_ip = "127.0.0.1", .host_port = 8080, .container_port = 80, .protocol = "udp"}));
  EXPECT_THAT(publish("127.0.0.1::80"),
              ElementsAre(PortMapping{.host_ip = "127.0.0.1", .container_port = 80}));
  EXPECT_THAT(publish("[::1]:8080:80/tcp"),
              ElementsAre(PortMapping{.host_ip = "::1", .host_port = 8080, .container_port = 80}));
  EXPECT_THAT(publish("8000-8001:9000-9001"),
              ElementsAre(PortMapping{.host_port = 8000, .container_port = 9000},
                          PortMapping{.host_port = 8001, .container_port = 9001}));
  EXPECT_THAT(publish("80-81"),
              ElementsAre(PortMapping{.container_port = 80}, PortMapping{.container_port = 81}));
}

TEST(Publish, RefusesWhatItCantMean) {
  for (const char* text :
       {"", "a", "0", "65536", "1:2:3:4", "localhost:1:2", "80/sctp", "80/", "2-1", "1-2:3-5",
        "[::1:80:80", "300.0.0.1:1:2", "-1:80", "80:", "1:80-", ":80:", " 80", "80:80 "}) {
    EXPECT_FALSE(parse_publish(text)) << text;
  }
}

TEST(Publish, FormatsForListings) {
  EXPECT_EQ(format_port(publish("8080:80")[0]), "0.0.0.0:8080->80/tcp");
  EXPECT_EQ(format_port(publish("[::1]:8080:80/udp")[0]), "[::1]:8080->80/udp");
}

TEST(ChoosePorts, FindsDistinctFreePortsAndReportsTakenOnes) {
  std::vector<PortMapping> ports{{.host_ip = "127.0.0.1", .container_port = 1},
                                 {.host_ip = "127.0.0.1", .container_port = 2},
                                 {.container_port = 2, .protocol = "udp"}};
  ASSERT_TRUE(choose_ports(ports));
  EXPECT_NE(ports[0].host_port, 0);
  EXPECT_NE(ports[0].host_port, ports[1].host_port);
  EXPECT_NE(ports[2].host_port, 0);

  const UniqueFd taken(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(taken.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(taken.get(), 1), 0);
  ASSERT_EQ(getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &length), 0);
  for (const char* ip : {"", "127.0.0.1"}) {
    std::vector<PortMapping> same{
        {.host_ip = ip, .host_port = ntohs(address.sin_port), .container_port = 1}};
    const auto result = choose_ports(same);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::kAlreadyExists);
    EXPECT_THAT(result.error().message(), HasSubstr("already in use"));
  }
}

TEST(ChoosePorts, RefusesADuplicateAndAForeignAddress) {
  std::vector<PortMapping> one{{.container_port = 1}};
  ASSERT_TRUE(choose_ports(one));
  std::vector<PortMapping> twice{one[0], one[0]};
  EXPECT_FALSE(choose_ports(twice));
  std::vector<PortMapping> foreign{{.host_ip = "203.0.113.1", .container_port = 1}};
  EXPECT_THAT(choose_ports(foreign).error().message(), HasSubstr("not an address of this host"));
}

}  // namespace
}  // namespace trivet::net
