#include "vmm/router.h"

#include <cstring>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "payload/microvm/job.h"

namespace trivet::vmm {

namespace {

using guest::Frame;
using guest::FrameType;

constexpr SessionTable::ClientId kOurselves = 0;
constexpr size_t kMaxClients = 128;
// Clients wait while so much is on its way to the guest.
constexpr size_t kEnough = 1U << 20U;
// What a client's sessions may have on the way to it is limited by their windows; an answer comes
// on top. A client with more than this does not read.
constexpr size_t kTooMuch = 16U << 20U;

Result<UniqueFd> make_listener(const std::string& path) {
  const std::string directory = path.substr(0, path.find_last_of('/'));
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return fail_errno("mkdir \"{}\"", directory);
  }
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 64) != 0) {
    return fail_errno("listen on \"{}\"", path);
  }
  return fd;
}

}  // namespace

Router::~Router() {
  refuse_clients();
}

Result<> Router::listen() {
  listener_ = TRY(make_listener(payload::microvm::kControlSocket));
  return {};
}

Result<> Router::open() {
  return loop_.watch(listener_.get(), EPOLLIN, [this](uint32_t) { accept_client(); });
}

void Router::refuse_clients() {
  if (listener_) loop_.forget(listener_.get());
  listener_.reset();
}

void Router::close() {
  refuse_clients();
  clients_.clear();
}

void Router::accept_client() {
  UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!socket || clients_.size() >= kMaxClients) return;
  const ClientId id = next_client_++;
  auto client = std::make_unique<Connection>(loop_, std::move(socket), guest::Direction::kToGuest);
  const auto opened =
      client->open({.on_frame = [this, id](const Frame& frame) { return from_client(id, frame); },
                    .on_end = [this, id](const Error&) { drop(id); },
                    .on_drained = nullptr});
  if (!opened) return;
  client->hold(held_);
  clients_[id] = std::move(client);
}

Result<> Router::from_client(ClientId client, const Frame& frame) {
  if (container_ != 0 && frame.type == FrameType::kCreate) {
    return fail(ErrorCode::kCorrupt, "agent protocol: a container is made by its own process");
  }
  const auto session = table_.from_client(client, frame);
  if (!session && session.error().code() == ErrorCode::kLimitExceeded) {
    refuse(client, frame, session.error());
    return {};
  }
  if (!session) return std::unexpected(session.error());
  if (!*session) return {};
  const bool stamped =
      container_ != 0 && begins_session(frame.type) && frame.type != FrameType::kConnect;
  agent_.send(frame.type, **session, frame.payload, stamped ? container_ : frame.container);
  if (agent_.pending() > kEnough) hold_clients(true);
  return {};
}

void Router::refuse(ClientId client, const Frame& frame, const Error& error) {
  clients_.at(client)->send(FrameType::kFailed, frame.session, guest::print_error(error));
}

void Router::drop(ClientId client) {
  for (const uint32_t session : table_.drop_client(client)) {
    agent_.send(FrameType::kAbandon, session);
  }
  clients_.erase(client);
}

void Router::hold_clients(bool held) {
  held_ = held;
  for (const auto& [id, client] : clients_) client->hold(held);
}

void Router::agent_drained() {
  if (held_) hold_clients(false);
}

Result<> Router::handle(const Frame& frame) {
  const SessionTable::Target target = TRY(table_.from_guest(frame));
  if (!target.client) {
    // Nobody reads it, and a program that writes shall not wait for that.
    if (frame.type == FrameType::kStdout || frame.type == FrameType::kStderr) {
      agent_.send_frame(guest::make_credit(frame.session, frame.type,
                                           static_cast<uint32_t>(frame.payload.size())));
    }
    return {};
  }
  if (*target.client == kOurselves) {
    finish_own(frame, target.session);
    return {};
  }
  const auto client = clients_.find(*target.client);
  if (client == clients_.end()) return {};
  client->second->send(frame.type, target.session, frame.payload);
  if (client->second->pending() > kTooMuch) drop(*target.client);
  return {};
}

void Router::request(const guest::Request& request, std::function<void(Result<>)> done) {
  const std::string document = guest::print(request);
  const Frame frame{.type = FrameType::kRequest, .session = next_own_++, .payload = document};
  const auto session = table_.from_client(kOurselves, frame);
  if (!session) return done(std::unexpected(session.error()));
  own_[frame.session] = std::move(done);
  agent_.send(frame.type, **session, document);
}

void Router::finish_own(const Frame& frame, uint32_t session) {
  auto node = own_.extract(session);
  if (node.empty()) return;
  if (frame.type == FrameType::kAnswer) return node.mapped()({});
  node.mapped()(std::unexpected(guest::parse_error(frame.payload)));
}

}  // namespace trivet::vmm
