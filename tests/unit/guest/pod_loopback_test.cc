#include "guest/pod_loopback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::guest {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(PodLoopback, SaysWhatWasPrinted) {
  const auto loopback = parse_pod_loopback("169.254.1.2 192.0.2.1 80 443");
  ASSERT_TRUE(loopback) << loopback.error().message();
  EXPECT_EQ(loopback->own, parse_ipv4("192.0.2.1").value());
  EXPECT_THAT(loopback->own_ports, ElementsAre(80, 443));
  EXPECT_EQ(print_pod_loopback(*loopback), "169.254.1.2 192.0.2.1 80 443");
  EXPECT_TRUE(parse_pod_loopback("169.254.1.2 192.0.2.1")->own_ports.empty());
}

TEST(PodLoopback, AnythingElseIsRefused) {
  for (const char* text :
       {"", "169.254.1.2", "169.254.1.2  80", "169.254.1.2 fd00::1", "169.254.1.2 192.0.2.1 0",
        "169.254.1.2 192.0.2.1 65536", "169.254.1.2 192.0.2.1 http", "169.254.1.2 192.0.2.1 "}) {
    const auto loopback = parse_pod_loopback(text);
    ASSERT_FALSE(loopback) << text;
    EXPECT_THAT(loopback.error().message(), HasSubstr(kPodLoopbackAnnotation));
  }
  std::string many = "169.254.1.2 192.0.2.1";
  for (int port = 1; port < 300; ++port) many += fmt::format(" {}", port);
  EXPECT_FALSE(parse_pod_loopback(many));
}

}  // namespace
}  // namespace trivet::guest
