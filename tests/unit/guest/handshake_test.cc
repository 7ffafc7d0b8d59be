#include "guest/handshake.h"

#include <cstdint>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::guest {
namespace {

using testing::IsEmpty;

std::string bytes(std::initializer_list<unsigned> values) {
  return {values.begin(), values.end()};
}

// 10.0.2.15:80 to 192.0.2.1:50000, SYN,ACK with the option of a maximum segment size.
std::string syn_ack() {
  return bytes({0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 2, 15, 192, 0, 2, 1}) +
         bytes({0, 80, 0xC3, 0x50, 0x12, 0x34, 0x56, 0xFF, 0xA1, 0xB2, 0xC3, 0xD4}) +
         bytes({0x60, 0x12, 0xFF, 0xFF, 0, 0, 0, 0, 2, 4, 0xFF, 0xD7});
}

std::string with_byte(size_t at, char value) {
  std::string packet = syn_ack();
  packet.at(at) = value;
  return packet;
}

// The sum of RFC 1071 over 16-bit words in network order: 0xFFFF when a checksum in it is right.
uint32_t sum_of(std::string_view text) {
  uint32_t sum = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    sum += static_cast<unsigned char>(text[i]) << (i % 2 == 0 ? 8U : 0U);
  }
  while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16U);
  return sum;
}

TEST(Handshake, TheAnswerIsWhatTheClientWouldSend) {
  const std::string answer = acknowledge_syn(syn_ack());
  ASSERT_EQ(answer.size(), 40U);
  EXPECT_EQ(answer.substr(0, 4), bytes({0x45, 0, 0, 40}));
  EXPECT_EQ(answer.at(9), 6);
  EXPECT_EQ(answer.substr(12, 8), bytes({192, 0, 2, 1, 10, 0, 2, 15}));
  EXPECT_EQ(answer.substr(20, 4), bytes({0xC3, 0x50, 0, 80}));
  EXPECT_EQ(answer.substr(24, 4), bytes({0xA1, 0xB2, 0xC3, 0xD4}));
  EXPECT_EQ(answer.substr(28, 4), bytes({0x12, 0x34, 0x57, 0}));
  EXPECT_EQ(answer.substr(32, 2), bytes({0x50, 0x10}));
  EXPECT_EQ(sum_of(answer.substr(12, 8) + bytes({0, 6, 0, 20}) + answer.substr(20)), 0xFFFFU);
}

TEST(Handshake, NothingElseIsAnswered) {
  constexpr size_t kFlags = 33;
  for (const char flags : {0x02, 0x10, 0x11, 0x13, 0x16}) {
    EXPECT_THAT(acknowledge_syn(with_byte(kFlags, flags)), IsEmpty()) << int{flags};
  }
  EXPECT_THAT(acknowledge_syn(with_byte(0, 0x46)), IsEmpty()) << "IP options";
  EXPECT_THAT(acknowledge_syn(with_byte(0, 0x65)), IsEmpty()) << "IPv6";
  EXPECT_THAT(acknowledge_syn(with_byte(9, 17)), IsEmpty()) << "UDP";
  EXPECT_THAT(acknowledge_syn(syn_ack().substr(0, 39)), IsEmpty()) << "cut off";
  EXPECT_THAT(acknowledge_syn(""), IsEmpty());
}

// 192.0.2.1:80 to 10.0.2.15:50000, a RST with the number of what it acknowledges, as passt has it.
std::string bare_reset() {
  return bytes({0x45, 0, 0, 40, 0, 0, 0x40, 0, 255, 6, 0, 0, 192, 0, 2, 1, 10, 0, 2, 15}) +
         bytes({0, 80, 0xC3, 0x50, 0x12, 0x34, 0x56, 0xFF, 0xA1, 0xB2, 0xC3, 0xD4}) +
         bytes({0x50, 0x04, 0, 0, 0, 0, 0, 0});
}

TEST(Handshake, AResetSaysWhatItAcknowledges) {
  const std::string reset = complete_reset(bare_reset());
  ASSERT_EQ(reset.size(), 40U);
  EXPECT_EQ(reset.substr(12, 20), bare_reset().substr(12, 20));
  EXPECT_EQ(reset.substr(32, 2), bytes({0x50, 0x14}));
  EXPECT_EQ(sum_of(reset.substr(12, 8) + bytes({0, 6, 0, 20}) + reset.substr(20)), 0xFFFFU);
}

TEST(Handshake, OtherSegmentsStayAsTheyAre) {
  constexpr size_t kFlags = 33;
  for (const char flags : {0x14, 0x10, 0x02, 0x06}) {
    std::string packet = bare_reset();
    packet.at(kFlags) = flags;
    EXPECT_THAT(complete_reset(packet), IsEmpty()) << int{flags};
  }
  std::string acknowledges_nothing = bare_reset();
  acknowledges_nothing.replace(28, 4, 4, '\0');
  EXPECT_THAT(complete_reset(acknowledges_nothing), IsEmpty());
  EXPECT_THAT(complete_reset(bare_reset().substr(0, 39)), IsEmpty());
  EXPECT_THAT(complete_reset(syn_ack()), IsEmpty());
}

}  // namespace
}  // namespace trivet::guest
