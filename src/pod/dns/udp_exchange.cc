#include <array>
#include <sys/random.h>

#include "pod/dns/exchange.h"

namespace trivet::dns {

UdpExchange::UdpExchange(Server& server, std::string message, Query query,
                         const sockaddr_storage& client, socklen_t client_size)
    : server_(server),
      message_(std::move(message)),
      query_(std::move(query)),
      client_(client),
      client_size_(client_size) {}

UdpExchange::~UdpExchange() {
  forget();
}

void UdpExchange::forget() {
  server_.loop().clear_timer(Timer::kAnswer, this);
  if (socket_) server_.loop().forget(socket_.get());
  socket_.reset();
}

void UdpExchange::try_next() {
  forget();
  const std::vector<Upstream>& upstreams = server_.options().upstreams;
  while (next_ < upstreams.size()) {
    if (ask(upstreams[next_++])) return;
    forget();
  }
  finish(print_failure(query_, Code::kServerFailure));
}

Result<> UdpExchange::ask(const Upstream& upstream) {
  socket_ =
      UniqueFd(socket(upstream.address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_) return fail_errno("socket");
  const auto* address = reinterpret_cast<const sockaddr*>(&upstream.address);
  if (connect(socket_.get(), address, upstream.size) != 0) {
    return fail_errno("connect to {}", upstream.name);
  }
  if (getrandom(&id_, sizeof id_, 0) != sizeof id_) return fail_errno("getrandom");
  const std::string query = with_id(message_, id_);
  if (send(socket_.get(), query.data(), query.size(), 0) < 0) {
    return fail_errno("send to {}", upstream.name);
  }
  server_.loop().set_timer(Timer::kAnswer, server_.options().timeout, [this] { try_next(); }, this);
  return server_.loop().watch(socket_.get(), EPOLLIN, [this](uint32_t) { serve(); });
}

void UdpExchange::serve() {
  std::array<char, kMaxMessage> buffer{};
  const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), 0);
  if (count < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return try_next();  // refused: nobody listens there
  }
  const std::string_view answer(buffer.data(), static_cast<size_t>(count));
  // Anything else is not from who was asked.
  if (is_answer(answer, id_, query_.question)) finish(with_id(answer, query_.id));
}

void UdpExchange::finish(std::string_view answer) {
  server_.send_udp(answer, client_, client_size_);
  server_.drop(this);
}

}  // namespace trivet::dns
