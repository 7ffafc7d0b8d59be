// The gRPC health check (grpc.health.v1.Health/Check) as a client: HTTP/2 with prior knowledge, one
// stream, one message each way. It only turns bytes into bytes; the socket is the caller's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::pod {

// What a HealthCheckResponse says: the value of its field `status`. kCorrupt if it is none.
Result<uint64_t> parse_health_response(std::string_view message);

class GrpcHealthCheck {
 public:
  // All that a server may send before it is given up.
  static constexpr size_t kMaxInput = 65536;

  // `authority` is "127.0.0.1:50051"; an empty service asks about the whole server.
  static Result<std::unique_ptr<GrpcHealthCheck>> create(const std::string& authority,
                                                         std::string_view service);
  ~GrpcHealthCheck();
  GrpcHealthCheck(const GrpcHealthCheck&) = delete;
  GrpcHealthCheck& operator=(const GrpcHealthCheck&) = delete;

  // What is to be sent now; often nothing.
  Result<std::string> take_output();
  // What was received. An error means that the server speaks no HTTP/2, or too much.
  Result<> feed(std::string_view bytes);
  // Once the server has answered: success means SERVING.
  [[nodiscard]] const std::optional<Result<>>& outcome() const;

 private:
  struct Impl;
  explicit GrpcHealthCheck(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace trivet::pod
