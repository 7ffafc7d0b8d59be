// The last step of a TCP handshake, made up by the guest itself; or its refusal.
#pragma once

#include <string>
#include <string_view>

namespace trivet::guest {

// What the receiver of an IPv4 packet with a SYN,ACK answers: a packet that acknowledges it, whose
// IP checksum the kernel still has to fill in (raw(7)). Empty when the packet is something else.
[[nodiscard]] std::string acknowledge_syn(std::string_view packet);

// For an IPv4 packet with a RST that has the number of what it acknowledges, but does not say that
// it acknowledges something: the same with the flag ACK. Empty when the packet is something else.
[[nodiscard]] std::string complete_reset(std::string_view packet);

}  // namespace trivet::guest
