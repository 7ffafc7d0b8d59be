// The control socket: clients on the host (`exec`, `stats`, `cp`) share the one connection to the
// guest's agent. So do the members of a pod: the process that stands for a container of a machine
// that holds several has clients of its own, and is itself a client of the machine's.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/event_loop.h"
#include "guest/messages.h"
#include "vmm/connection.h"
#include "vmm/session_table.h"

namespace trivet::vmm {

class Router {
 public:
  // Of a machine: clients say themselves which container they mean.
  Router(EventLoop& loop, Connection& agent) : loop_(loop), agent_(agent) {}
  // Of a member: all that its clients begin is about one container. `first_session` and up are
  // theirs on the connection.
  Router(EventLoop& loop, Connection& agent, uint8_t container, uint32_t first_session)
      : loop_(loop), agent_(agent), container_(container), table_(first_session) {}
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;
  ~Router();

  // Makes kControlSocket; connections wait until open().
  Result<> listen();
  Result<> open();

  // Nobody comes any more: the container's program has ended.
  void refuse_clients();
  // Nor is there anybody to answer those who are there.
  void close();

  // A frame of the guest in a session of clients. kCorrupt: the guest keeps no rules.
  Result<> handle(const guest::Frame& frame);
  // The agent's connection has room again.
  void agent_drained();

  // A request of our own.
  void request(const guest::Request& request, std::function<void(Result<>)> done);

 private:
  using ClientId = SessionTable::ClientId;

  void accept_client();
  Result<> from_client(ClientId client, const guest::Frame& frame);
  void refuse(ClientId client, const guest::Frame& frame, const Error& error);
  void drop(ClientId client);
  void hold_clients(bool held);
  void finish_own(const guest::Frame& frame, uint32_t session);

  EventLoop& loop_;
  Connection& agent_;
  uint8_t container_ = 0;
  UniqueFd listener_;
  SessionTable table_;
  std::map<ClientId, std::unique_ptr<Connection>> clients_;
  std::map<uint32_t, std::function<void(Result<>)>> own_;  // our requests by their session
  ClientId next_client_ = 1;
  uint32_t next_own_ = guest::kFirstRequestSession;
  bool held_ = false;
};

}  // namespace trivet::vmm
