// The name server of a pod: container names are 127.0.0.1, for all of them share one network;
// everything else is asked of the servers that the pod would have had otherwise.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/dns/message.h"
#include "pod/dns/resolv_conf.h"

namespace trivet::dns {

class UdpExchange;
class TcpSession;

struct ServerOptions {
  uint32_t address = 0x7f00000b;  // 127.0.0.11
  uint16_t port = 53;             // 0: any, for tests
  std::set<std::string> names;    // in lower case
  std::vector<Upstream> upstreams;
  std::chrono::milliseconds timeout{2000};  // of each server
};

class Server {
 public:
  // UDP and TCP. `loop` and the sockets live as long as the server.
  static Result<std::unique_ptr<Server>> create(EventLoop& loop, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }

  // --- for the exchanges

  // What can be said at once: an answer of the pod's own, or a refusal. Nothing: `query` has to be
  // forwarded. An empty answer: not a word.
  [[nodiscard]] std::optional<std::string> answer(std::string_view message, Query& query) const;
  [[nodiscard]] const ServerOptions& options() const { return options_; }
  [[nodiscard]] EventLoop& loop() const { return loop_; }
  void send_udp(std::string_view message, const sockaddr_storage& to, socklen_t size);
  void drop(const UdpExchange* exchange);
  void drop(const TcpSession* session);

 private:
  Server(EventLoop& loop, ServerOptions options);
  Result<> open();
  void serve_udp();
  void serve_tcp();

  EventLoop& loop_;
  ServerOptions options_;
  uint16_t port_ = 0;
  UniqueFd udp_;
  UniqueFd tcp_;
  std::list<std::unique_ptr<UdpExchange>> exchanges_;
  std::list<std::unique_ptr<TcpSession>> sessions_;
};

}  // namespace trivet::dns
