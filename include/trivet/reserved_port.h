// A TCP port of the host that nobody else gets.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "trivet/export.h"
#include "trivet/result.h"

namespace trivet {

// Holds a port that was free until close(), or until the object goes: other programs that ask for
// it, or for any free port, don't get it. Nothing listens: connections are refused. For whoever
// has to write down a port before the program that will listen on it is started: close() just
// before that. Move-only; one thread at a time.
class TRIVET_API ReservedPort {
 public:
  // A free port of `host`: a numeric address of this host, or "localhost". No name is looked up.
  // kInvalidArgument for anything else.
  static Result<ReservedPort> reserve(const std::string& host = "127.0.0.1");

  // `other` holds nothing any more.
  ReservedPort(ReservedPort&& other) noexcept
      : host_(std::move(other.host_)),
        fd_(std::exchange(other.fd_, -1)),
        port_(std::exchange(other.port_, uint16_t{0})) {}
  // Lets its own port go, and takes that of `other`.
  ReservedPort& operator=(ReservedPort&& other) noexcept;
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;
  ~ReservedPort() { close(); }

  // Both stay what they were after close().
  [[nodiscard]] uint16_t port() const { return port_; }
  // The address, as it was asked for.
  [[nodiscard]] const std::string& host() const { return host_; }

  // Whether the port is held.
  [[nodiscard]] bool held() const { return fd_ >= 0; }
  // Lets the port go. Once is enough; more does nothing.
  void close();

 private:
  ReservedPort(std::string host, int fd, uint16_t port)
      : host_(std::move(host)), fd_(fd), port_(port) {}

  std::string host_;
  int fd_ = -1;
  uint16_t port_ = 0;
};

}  // namespace trivet
