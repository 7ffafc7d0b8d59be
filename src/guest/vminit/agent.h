// The agent: what the host asks for, carried out. One thread, one loop.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"
#include "guest/messages.h"
#include "guest/protocol.h"
#include "guest/vminit/handshakes.h"
#include "guest/vminit/memory_watch.h"
#include "guest/vminit/port.h"
#include "guest/vminit/session.h"
#include "guest/vminit/storage.h"
#include "linux/cgroup.h"
#include "linux/seccomp.h"

namespace trivet::guest {

class Agent {
 public:
  // `infra` is the program trivet-infra; invalid where the guest came without it. `cgroups` is
  // where containers get theirs.
  Agent(EventLoop loop, Port port, UniqueFd infra, cgroup::Layout cgroups)
      : loop_(std::move(loop)),
        port_(std::move(port)),
        infra_(std::move(infra)),
        cgroups_(std::move(cgroups)) {}
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;
  ~Agent() = default;

  // Says kReady and serves; comes back only with what can't be gone on with.
  Error serve();

 private:
  enum class Kind { kProgram, kCopyIn, kCopyOut, kConnection };
  // What is open besides the answers that are given at once.
  struct Conversation {
    Kind kind = Kind::kProgram;
    std::unique_ptr<Session> session;
    UniqueFd report;                   // of a copy: where its process writes why it failed
    UniqueFd dialing;                  // of a connection that is not there yet
    std::optional<uint8_t> container;  // whose own program it is
    bool ends_group = false;           // ExecRequest
    bool told_to_end = false;          // by SIGTERM
  };
  struct Held {
    std::optional<container::Container> container;
    oci::Spec spec;
    std::optional<seccomp::Program> filter;  // of all its processes
    std::optional<MemoryWatch> memory_watch;
  };

  Result<> run();
  Result<> watch_children();
  Result<> watch_port();
  Result<> serve_port(uint32_t events);
  Result<> read_port();
  Result<> after_turn();  // writes, and adjusts what is waited for
  void look_for_host();

  Result<> handle(const Frame& frame);
  Result<> handle_stream(const Frame& frame);
  void answer(uint32_t session, const Result<>& done);
  void answer(uint32_t session, const Result<std::string>& done);
  void send_failure(uint32_t session, const Error& error);
  [[nodiscard]] Session* find(uint32_t id);
  Result<> check_new(uint32_t id) const;
  Session& add_session(uint32_t id, Kind kind);

  void wake_up(std::string_view payload);
  Result<> create(const Frame& frame);
  Result<> create_first(std::string_view payload);
  Result<> adopt(std::string_view payload);
  Result<> create_further(const Frame& frame);
  Result<> join(const CreateRequest& request, oci::Spec& spec) const;
  Result<> watch_handshakes(const std::vector<Interface>& interfaces);
  Result<> create_container(const Frame& frame, const CreateRequest& request);
  void watch_memory(uint8_t number);
  Result<> start(uint32_t id);
  Result<> exec(const Frame& frame);
  Result<> exec_process(uint8_t number, Session& session, const ExecRequest& request);
  Result<> copy(const Frame& frame, Kind kind);
  Result<> begin_copy(const container::Container* container, Session& session, Kind kind,
                      const CopyRequest& request);
  Result<std::string> request(const Request& message, uint8_t container);
  Result<> connect(uint32_t id, std::string_view payload);
  Result<> begin_connection(uint32_t id, const ConnectRequest& request);
  void finish_connection(uint32_t id);
  void give_up_connection(uint32_t id, const Error& error);
  void shut_down(uint32_t id);
  void signal(uint32_t id, int number);
  void reap_children();
  void finish(Session& session);
  void finish_copy(const Conversation& conversation, uint32_t id);
  void finish_container(uint8_t number, Exit& exit);
  [[nodiscard]] container::Container* find_container(uint8_t number);
  void remove_container(uint8_t number);

  EventLoop loop_;
  Port port_;
  UniqueFd signals_;
  std::optional<Error> failure_;  // found by a handler
  uint32_t port_events_ = 0;
  bool congested_ = false;
  bool host_is_gone_ = false;
  int absences_ = 0;  // how often it was missed in a row

  std::optional<Handshakes> handshakes_;
  UniqueFd infra_;
  cgroup::Layout cgroups_;
  bool create_was_tried_ = false;
  Storage storage_;
  std::map<uint8_t, Held> containers_;  // by their numbers
  std::map<uint32_t, Conversation> conversations_;
};

}  // namespace trivet::guest
