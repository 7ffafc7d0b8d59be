// How a container that waits is started: the payload of kStart.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "monitor/attach.h"

namespace trivet::monitor {

// client to monitor: StartRequest, to a container that waits. Answered by kDone when its program
// runs, or by kError; kWrongState: another was first.
inline constexpr Frame kStart{'g'};

struct StartRequest {
  // Not started but ended, with every trace: nobody wants it any more. The rest is not looked at.
  bool discard = false;
  // The client's streams are the container's from the first byte on, as with `run`; otherwise it
  // may go.
  bool foreground = false;
  bool remove = false;    // Record::remove
  std::string name = {};  // claimed by the client; empty: it keeps its own
  std::optional<int64_t> timeout_ms = std::nullopt;
  friend bool operator==(const StartRequest&, const StartRequest&) = default;
};

[[nodiscard]] std::string make_frame(const StartRequest& request);
// kCorrupt: not what make_frame() makes.
Result<StartRequest> parse_start_request(std::string_view payload);

}  // namespace trivet::monitor
