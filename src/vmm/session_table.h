// Which session of which client is which session of the guest, and what may be said in it: the
// rules between clients of the control socket and the guest, without any input or output.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "guest/protocol.h"

namespace trivet::vmm {

// Whether a client's frame of this type begins a session.
[[nodiscard]] bool begins_session(guest::FrameType type);

class SessionTable {
 public:
  using ClientId = uint32_t;

  // `first` and up are the guest's numbers for clients' sessions.
  explicit SessionTable(uint32_t first = guest::kFirstRequestSession)
      : first_(first), next_(first) {}

  // The guest's number of the session that a client's frame belongs to, which is made by a frame
  // that begins one; nothing: the frame came too late, its session has ended. Errors:
  // kLimitExceeded when there are too many sessions (the client is told), kCorrupt when the client
  // keeps no rules.
  Result<std::optional<uint32_t>> from_client(ClientId client, const guest::Frame& frame);

  struct Target {
    std::optional<ClientId> client;  // nothing: it has gone
    uint32_t session = 0;            // of the client's numbering
    bool ended = false;              // by this frame
  };
  // kCorrupt: the guest keeps no rules.
  Result<Target> from_guest(const guest::Frame& frame);

  // The client has gone: the guest's sessions to abandon. They stay known until the guest ends
  // them.
  std::vector<uint32_t> drop_client(ClientId client);

  [[nodiscard]] size_t size() const { return sessions_.size(); }

 private:
  struct Session {
    std::optional<ClientId> client;
    uint32_t client_session = 0;
    guest::FrameType kind = guest::FrameType::kRequest;  // what began it
    // Bytes on the way that were not taken yet.
    size_t input = 0;
    size_t output = 0;
    size_t errors = 0;
  };
  Result<uint32_t> begin(ClientId client, const guest::Frame& frame);
  static Result<> note_from_client(Session& session, const guest::Frame& frame);
  static Result<> note_from_guest(Session& session, const guest::Frame& frame);

  std::map<uint32_t, Session> sessions_;  // by the guest's number
  std::map<std::pair<ClientId, uint32_t>, uint32_t> by_client_;
  uint32_t first_;
  uint32_t next_;
};

}  // namespace trivet::vmm
