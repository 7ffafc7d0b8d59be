// The agent's part that copies files: a process of its own for each copy, since it may take long.
#include "guest/vminit/agent.h"

namespace trivet::guest {

Result<> Agent::copy(uint32_t id, Kind, std::string_view) {
  TRY(check_new(id));
  send_failure(id, Error(ErrorCode::kUnsupported, "copies are not supported"));
  return {};
}

void Agent::finish_copy(const Conversation&, uint32_t) {}

}  // namespace trivet::guest
