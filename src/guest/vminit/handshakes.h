// TCP handshakes that passt leaves unfinished.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace trivet::guest {

// passt of before 2023_10_04, which Debian 12 has, acknowledges the SYN,ACK of a server in the
// guest together with the first data of the client, not before: a server that speaks first would
// never know of its client. As passt has accepted the client already when it sends the SYN, the
// guest can do without the acknowledgement and make it up. A second one of passt's does no harm.
class Handshakes {
 public:
  // Of the connections that come in at this network device, from now on.
  static Result<Handshakes> open(const std::string& device);

  // Readable when there are some for complete().
  [[nodiscard]] int fd() const { return seen_.get(); }
  void complete();

 private:
  Handshakes(UniqueFd seen, UniqueFd answers)
      : seen_(std::move(seen)), answers_(std::move(answers)) {}

  UniqueFd seen_;     // the SYN,ACK segments that go out
  UniqueFd answers_;  // packets for the guest itself
};

}  // namespace trivet::guest
