// What the engine and an extension say to each other: JSON documents, one a line, and the envelopes
// in which the supervisor and the infra container pass them on. docs/extensions.md describes the
// lines for those who write extensions. Unknown members are left alone, so that a later version may
// add some; everything else is checked, for extensions are the code of others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::pod {

inline constexpr int kExtensionProtocol = 1;
inline constexpr size_t kMaxExtensionLine = 262144;  // bytes

// What happens in the pod, for extensions.
struct Event {
  enum class Kind { kStarted, kExited, kHealthy, kUnhealthy, kStopping };
  Kind kind = Kind::kStarted;
  std::string container;  // its name; empty with kStopping
  int exit_code = 0;      // kExited
};
[[nodiscard]] const char* event_name(Event::Kind kind);  // "started", …

// A container's numbers, as an extension may ask for them.
struct ContainerNumbers {
  std::string name;
  bool running = false;
  int restarts = 0;
  uint64_t cpu_usage_ns = 0;
  uint64_t memory_usage = 0;  // bytes
  uint64_t memory_limit = 0;  // bytes; 0: none
  uint64_t pids = 0;

  friend bool operator==(const ContainerNumbers&, const ContainerNumbers&) = default;
};

// To an extension.
struct ExtensionOrder {
  enum class Type { kStart, kEvent, kPort, kNumbers, kError };
  Type type = Type::kEvent;
  uint32_t id = 0;  // kPort, kNumbers, kError: of the request that this answers

  // kStart
  int version = kExtensionProtocol;
  std::string name;  // the extension's
  std::string settings;
  std::string pod_id;
  std::string pod_name;
  std::string hostname;
  std::vector<std::string> containers;  // their names

  Event event;                            // kEvent
  uint16_t port = 0;                      // kPort: the host's
  std::vector<ContainerNumbers> numbers;  // kNumbers
  std::string message;                    // kError
};

// From an extension.
struct ExtensionRequest {
  enum class Type { kReady, kFailed, kPort, kNumbers };
  Type type = Type::kReady;
  uint32_t id = 0;               // kPort, kNumbers
  std::string message;           // kFailed
  std::string protocol = "tcp";  // kPort: or "udp"
  uint16_t host = 0;             // kPort; 0: any
  uint16_t guest = 0;            // kPort
};

// Lines without their line feed. Parsing fails with kCorrupt.
[[nodiscard]] std::string print_order(const ExtensionOrder& order);
Result<ExtensionOrder> parse_order(std::string_view line);
[[nodiscard]] std::string print_request(const ExtensionRequest& request);
Result<ExtensionRequest> parse_request(std::string_view line);

// From the supervisor to the infra container: an order for one extension or, without `to`, for all.
// One with `launch` starts the program first; the order is then its first line.
struct InfraOrder {
  std::string to;
  std::vector<std::string> launch;  // argv, in the infra container
  std::string order;                // a line for the extension
};
// Back: what an extension asks for, or that it has ended (and why) and is gone.
struct InfraReport {
  std::string from;
  std::optional<ExtensionRequest> request;
  std::string ended;  // without a request
};
[[nodiscard]] std::string print_infra_order(const InfraOrder& order);
Result<InfraOrder> parse_infra_order(std::string_view line);
[[nodiscard]] std::string print_infra_report(const InfraReport& report);
Result<InfraReport> parse_infra_report(std::string_view line);

}  // namespace trivet::pod
