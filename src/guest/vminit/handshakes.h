// TCP handshakes that passt leaves unfinished.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::guest {

// passt of before 2023_10_04, which Debian 12 has, acknowledges the SYN,ACK of a server in the
// guest together with the first data of the client, not before: a server that speaks first would
// never know of its client. As passt has accepted the client already when it sends the SYN, the
// guest can do without the acknowledgement and make it up. A second one of passt's does no harm.
//
// But passt must have read the SYN,ACK by then: where it reads it together with data of the same
// connection it counts its packets wrongly and never ends. So each acknowledgement waits for
// passt's answer to an ARP request that was sent behind the SYN,ACK.
class Handshakes {
 public:
  explicit Handshakes(EventLoop& loop) : loop_(loop) {}
  Handshakes(const Handshakes&) = delete;
  Handshakes& operator=(const Handshakes&) = delete;
  ~Handshakes();

  // Completes those of connections that come in at this network device, from now on, and the
  // refusals of those that go out: passt forgets to set the flag of what it acknowledges there, and
  // a client would try again and again.
  Result<> open(const std::string& device);

 private:
  void see_syn_acks();
  void ask(std::string acknowledgement);
  void hear_replies();
  void see_resets();
  void take_in(const std::string& packet) const;

  EventLoop& loop_;
  UniqueFd syn_acks_;  // those that go out
  UniqueFd resets_;    // those that come in
  UniqueFd arp_;
  UniqueFd answers_;  // packets for the guest itself
  int device_ = 0;
  std::string mac_;
  uint32_t questions_ = 0;
  std::map<uint32_t, std::string> waiting_;  // acknowledgements, by the question
};

}  // namespace trivet::guest
