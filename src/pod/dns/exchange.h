// Queries that wait for another server's answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/dns/message.h"
#include "pod/dns/server.h"

namespace trivet::dns {

// One datagram's query. Each goes out from a socket of its own, so by a port of the kernel's
// choice, with an id of its own: an answer is hard to forge.
class UdpExchange {
 public:
  UdpExchange(Server& server, std::string message, Query query, const sockaddr_storage& client,
              socklen_t client_size);
  ~UdpExchange();
  UdpExchange(const UdpExchange&) = delete;
  UdpExchange& operator=(const UdpExchange&) = delete;

  // Asks the next server; without one left the client is told so. May delete the object.
  void try_next();

 private:
  enum class Timer { kAnswer };
  Result<> ask(const Upstream& upstream);
  void serve();
  void forget();
  void finish(std::string_view answer);

  Server& server_;
  std::string message_;
  Query query_;
  sockaddr_storage client_;
  socklen_t client_size_;
  size_t next_ = 0;
  uint16_t id_ = 0;
  UniqueFd socket_;
};

// A client's connection: its queries one after the other, each forwarded by a connection.
class TcpSession {
 public:
  TcpSession(Server& server, UniqueFd client) : server_(server), client_(std::move(client)) {}
  ~TcpSession();
  TcpSession(const TcpSession&) = delete;
  TcpSession& operator=(const TcpSession&) = delete;

  Result<> open();

 private:
  enum class Timer { kIdle };
  // Of a connection: what came, and what is to be sent.
  struct Stream {
    std::string input;
    std::string output;
  };
  // The next message with its length before it, if it is whole.
  static std::optional<std::string> take_message(Stream& stream);
  static void put_message(Stream& stream, std::string_view message);
  static Result<> exchange(int fd, uint32_t events, Stream& stream);

  // Each of these ends the session by an error.
  void serve_client(uint32_t events);
  void serve_upstream(uint32_t events);
  Result<> take_queries();
  Result<> take_answer();
  void try_next();
  Result<> ask(const Upstream& upstream);
  void close_upstream();
  void restart_timer();
  void expire();
  void settle(const Result<>& result);

  Server& server_;
  UniqueFd client_;
  UniqueFd upstream_;
  Stream to_client_;
  Stream to_upstream_;
  std::string message_;  // that is being forwarded
  std::optional<Query> query_;
  size_t next_ = 0;
};

}  // namespace trivet::dns
