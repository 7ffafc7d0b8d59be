// The agent's part that connects the host with what listens in the guest's network.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "guest/vminit/agent.h"

namespace trivet::guest {

namespace {

// Whoever asks waits, and most ask for what is in the guest itself.
constexpr std::chrono::milliseconds kPatience{1000};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> make_address(const ConnectRequest& request) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (::inet_pton(AF_INET, request.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(request.port);
    address.size = sizeof(sockaddr_in);
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET6, request.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(request.port);
    address.size = sizeof(sockaddr_in6);
    return address;
  }
  return fail(ErrorCode::kInvalidArgument, "\"{}\" is no IP address", request.host);
}

}  // namespace

Result<> Agent::connect(uint32_t id, std::string_view payload) {
  TRY(check_new(id));
  if (conversations_.size() >= kMaxSessions) {
    send_failure(id, Error(ErrorCode::kLimitExceeded, "too many things are done at once"));
    return {};
  }
  const auto request = parse_connect(payload);
  const Result<> begun =
      request ? begin_connection(id, *request) : std::unexpected(request.error());
  if (!begun) send_failure(id, begun.error());
  return {};
}

Result<> Agent::begin_connection(uint32_t id, const ConnectRequest& request) {
  const Address address = TRY(make_address(request));
  UniqueFd socket(
      ::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("socket");
  const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::connect(socket.get(), generic, address.size) != 0 && errno != EINPROGRESS) {
    return fail_errno("connect");
  }
  TRY(loop_.watch(socket.get(), EPOLLOUT, [this, id](uint32_t) { finish_connection(id); }));
  add_session(id, Kind::kConnection);
  conversations_.at(id).dialing = std::move(socket);
  loop_.set_timer(Timer{static_cast<int>(id)}, kPatience, [this, id] {
    give_up_connection(id, Error(ErrorCode::kTimeout, "connect: no answer"));
  });
  return {};
}

void Agent::finish_connection(uint32_t id) {
  Conversation& conversation = conversations_.at(id);
  loop_.clear_timer(Timer{static_cast<int>(id)});
  int errnum = 0;
  socklen_t size = sizeof errnum;
  (void)::getsockopt(conversation.dialing.get(), SOL_SOCKET, SO_ERROR, &errnum, &size);
  if (errnum != 0) return give_up_connection(id, Error::from_errno(errnum, "connect"));
  loop_.forget(conversation.dialing.get());
  auto ends = make_socket_ends(std::move(conversation.dialing));
  if (!ends) return give_up_connection(id, ends.error());
  port_.send(make_frame(FrameType::kDone, id));
  conversation.session->attach_connection(std::move(*ends));
}

// One that is there is closed.
void Agent::give_up_connection(uint32_t id, const Error& error) {
  const auto found = conversations_.find(id);
  if (found == conversations_.end()) return;
  if (found->second.dialing) loop_.forget(found->second.dialing.get());
  send_failure(id, error);
  conversations_.erase(found);
}

}  // namespace trivet::guest
