#include "monitor/vm_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::monitor {

namespace {

using testing::HasSubstr;

TEST(VmNetwork, PortsOfAMachineAreReadAsPrinted) {
  const auto ports = parse_machine_ports("80/tcp 53/udp");
  ASSERT_TRUE(ports) << ports.error().message();
  ASSERT_EQ(ports->size(), 2U);
  EXPECT_EQ(ports->at(0).host_port, 80);
  EXPECT_EQ(ports->at(0).container_port, 80);
  EXPECT_EQ(ports->at(1).protocol, "udp");
  EXPECT_EQ(print_machine_ports(*ports), "80/tcp 53/udp");
  EXPECT_TRUE(parse_machine_ports("")->empty());
}

TEST(VmNetwork, OtherPortsAreRefused) {
  for (const char* text : {"80", "80/", "/tcp", "0/tcp", "65536/tcp", "80/sctp", "80/tcp,81/tcp"}) {
    const auto ports = parse_machine_ports(text);
    ASSERT_FALSE(ports) << text;
    EXPECT_THAT(ports.error().message(), HasSubstr(kMachinePortsAnnotation));
  }
}

}  // namespace
}  // namespace trivet::monitor
