#include "pod/dns/server.h"

#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>

#include "pod/dns/exchange.h"

namespace trivet::dns {

namespace {

constexpr size_t kMaxExchanges = 256;
constexpr size_t kMaxSessions = 32;
constexpr uint32_t kLocalhost = 0x7f000001;

Result<UniqueFd> open_socket(uint32_t address, uint16_t port, int type) {
  UniqueFd made(socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!made) return fail_errno("socket");
  const int on = 1;
  if (type == SOCK_STREAM &&
      setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) {
    return fail_errno("setsockopt SO_REUSEADDR");
  }
  sockaddr_in local{};
  local.sin_family = AF_INET;
  local.sin_addr.s_addr = htonl(address);
  local.sin_port = htons(port);
  if (bind(made.get(), reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0) {
    return fail_errno("bind {} port {}", inet_ntoa(local.sin_addr), port);
  }
  return made;
}

Result<uint16_t> port_of(int socket) {
  sockaddr_in local{};
  socklen_t size = sizeof local;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&local), &size) != 0) {
    return fail_errno("getsockname");
  }
  return ntohs(local.sin_port);
}

}  // namespace

Server::Server(EventLoop& loop, ServerOptions options)
    : loop_(loop), options_(std::move(options)) {}

Server::~Server() {
  exchanges_.clear();
  sessions_.clear();
  for (const UniqueFd* fd : {&udp_, &tcp_}) {
    if (*fd) loop_.forget(fd->get());
  }
}

Result<std::unique_ptr<Server>> Server::create(EventLoop& loop, ServerOptions options) {
  std::unique_ptr<Server> server(new Server(loop, std::move(options)));
  TRY(server->open());
  return server;
}

Result<> Server::open() {
  udp_ = TRY(open_socket(options_.address, options_.port, SOCK_DGRAM));
  port_ = TRY(port_of(udp_.get()));
  tcp_ = TRY(open_socket(options_.address, port_, SOCK_STREAM));
  if (listen(tcp_.get(), kMaxSessions) != 0) return fail_errno("listen");
  TRY(loop_.watch(udp_.get(), EPOLLIN, [this](uint32_t) { serve_udp(); }));
  return loop_.watch(tcp_.get(), EPOLLIN, [this](uint32_t) { serve_tcp(); });
}

std::optional<std::string> Server::answer(std::string_view message, Query& query) const {
  auto parsed = parse_query(message);
  if (!parsed) {
    const bool unknown = parsed.error().code() == ErrorCode::kUnsupported;
    return answer_refused(message, unknown ? Code::kNotImplemented : Code::kFormatError)
        .value_or("");
  }
  query = std::move(*parsed);
  const bool ours = query.labels.size() == 1 && query.class_number == kClassInternet &&
                    options_.names.contains(query.labels[0]);
  if (!ours) return std::nullopt;
  const bool wants_address = query.type == kTypeA || query.type == kTypeAny;
  return print_answer(query, wants_address ? std::optional(kLocalhost) : std::nullopt);
}

void Server::serve_udp() {
  std::array<char, kMaxMessage> buffer{};
  sockaddr_storage client{};
  socklen_t size = sizeof client;
  const ssize_t count = recvfrom(udp_.get(), buffer.data(), buffer.size(), 0,
                                 reinterpret_cast<sockaddr*>(&client), &size);
  if (count < 0) return;
  const std::string_view message(buffer.data(), static_cast<size_t>(count));
  Query query;
  if (const auto own = answer(message, query)) {
    if (!own->empty()) send_udp(*own, client, size);
    return;
  }
  if (exchanges_.size() >= kMaxExchanges) {
    return send_udp(print_failure(query, Code::kServerFailure), client, size);
  }
  exchanges_.push_back(
      std::make_unique<UdpExchange>(*this, std::string(message), std::move(query), client, size));
  exchanges_.back()->try_next();
}

// UDP promises nothing: what can't be sent now is asked for again.
void Server::send_udp(std::string_view message, const sockaddr_storage& to, socklen_t size) {
  (void)sendto(udp_.get(), message.data(), message.size(), 0,
               reinterpret_cast<const sockaddr*>(&to), size);
}

void Server::serve_tcp() {
  UniqueFd client(accept4(tcp_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!client || sessions_.size() >= kMaxSessions) return;
  sessions_.push_back(std::make_unique<TcpSession>(*this, std::move(client)));
  if (!sessions_.back()->open()) sessions_.pop_back();
}

void Server::drop(const UdpExchange* exchange) {
  exchanges_.remove_if([exchange](const auto& entry) { return entry.get() == exchange; });
}

void Server::drop(const TcpSession* session) {
  sessions_.remove_if([session](const auto& entry) { return entry.get() == session; });
}

}  // namespace trivet::dns
