// A server on a port of 127.0.0.1 that serves one connection by a function, in a thread.
#pragma once

#include <arpa/inet.h>
#include <cstdint>
#include <functional>
#include <netinet/in.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/unique_fd.h"

namespace trivet::pod {

inline UniqueFd listen_on_loopback(uint16_t& port) {
  UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listener.get(), generic, size), 0);
  EXPECT_EQ(listen(listener.get(), 4), 0);
  EXPECT_EQ(getsockname(listener.get(), generic, &size), 0);
  port = ntohs(address.sin_port);
  return listener;
}

class Server {
 public:
  using Serve = std::function<void(int connection)>;

  explicit Server(Serve serve) : listener_(listen_on_loopback(port_)) {
    thread_ = std::thread([this, serve = std::move(serve)] {
      const UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (connection) serve(connection.get());
    });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    (void)shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  [[nodiscard]] uint16_t port() const { return port_; }

 private:
  uint16_t port_ = 0;
  UniqueFd listener_;
  std::thread thread_;
};

// False when the other side has gone.
inline bool send_text(int connection, std::string_view text) {
  return send(connection, text.data(), text.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(text.size());
}

// What has come by the time that `end` is in it, or the connection ends.
inline std::string receive_until(int connection, std::string_view end) {
  std::string text;
  char byte = 0;
  while (!text.ends_with(end) && recv(connection, &byte, 1, 0) == 1) text += byte;
  return text;
}

}  // namespace trivet::pod
