#include <array>
#include <sys/random.h>

#include "pod/dns/exchange.h"

namespace trivet::dns {

namespace {
constexpr std::chrono::milliseconds kIdle{10000};
constexpr size_t kLength = 2;  // before each message: RFC 1035, 4.2.2
constexpr size_t kMaxInput = kLength + kMaxMessage;
}  // namespace

TcpSession::~TcpSession() {
  close_upstream();
  server_.loop().clear_timer(Timer::kIdle, this);
  if (client_) server_.loop().forget(client_.get());
}

Result<> TcpSession::open() {
  restart_timer();
  return server_.loop().watch(client_.get(), EPOLLIN,
                              [this](uint32_t events) { serve_client(events); });
}

// Of a client that says nothing, or of a server that does not answer.
void TcpSession::restart_timer() {
  server_.loop().set_timer(
      Timer::kIdle, query_ ? server_.options().timeout : kIdle, [this] { expire(); }, this);
}

void TcpSession::expire() {
  if (!query_) return server_.drop(this);
  try_next();
  settle({});
}

std::optional<std::string> TcpSession::take_message(Stream& stream) {
  if (stream.input.size() < kLength) return std::nullopt;
  const size_t size = static_cast<size_t>(static_cast<uint8_t>(stream.input[0])) << 8U |
                      static_cast<uint8_t>(stream.input[1]);
  if (stream.input.size() < kLength + size) return std::nullopt;
  std::string message = stream.input.substr(kLength, size);
  stream.input.erase(0, kLength + size);
  return message;
}

void TcpSession::put_message(Stream& stream, std::string_view message) {
  stream.output += static_cast<char>(message.size() >> 8U);
  stream.output += static_cast<char>(message.size());
  stream.output += message;
}

Result<> TcpSession::exchange(int fd, uint32_t events, Stream& stream) {
  if ((events & EPOLLOUT) != 0 && !stream.output.empty()) {
    const ssize_t sent = send(fd, stream.output.data(), stream.output.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return fail_errno("send");
    if (sent > 0) stream.output.erase(0, static_cast<size_t>(sent));
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && stream.input.size() < kMaxInput) {
    std::array<char, 4096> buffer{};
    const ssize_t count = recv(fd, buffer.data(), buffer.size(), 0);
    if (count == 0) return fail(ErrorCode::kNetwork, "the connection has ended");
    if (count < 0 && errno != EAGAIN && errno != EINTR) return fail_errno("recv");
    if (count > 0) stream.input.append(buffer.data(), static_cast<size_t>(count));
  }
  return {};
}

void TcpSession::serve_client(uint32_t events) {
  Result<> served = exchange(client_.get(), events, to_client_);
  if (served) served = take_queries();
  settle(served);
}

void TcpSession::serve_upstream(uint32_t events) {
  const bool answered = exchange(upstream_.get(), events, to_upstream_) && take_answer();
  if (!answered) try_next();
  settle(take_queries());
}

// One at a time: the next is looked at when this one is answered.
Result<> TcpSession::take_queries() {
  while (!query_) {
    const auto message = take_message(to_client_);
    if (!message) break;
    Query query;
    if (const auto own = server_.answer(*message, query)) {
      if (own->empty()) return fail(ErrorCode::kCorrupt, "no query");
      put_message(to_client_, *own);
      // Who asks without reading waits.
      if (to_client_.output.size() > kMaxInput) break;
      continue;
    }
    message_ = *message;
    query_ = std::move(query);
    next_ = 0;
    try_next();
  }
  return {};
}

Result<> TcpSession::take_answer() {
  const auto message = take_message(to_upstream_);
  if (!message) return {};
  if (!is_answer(*message, query_->id, query_->question)) {
    return fail(ErrorCode::kCorrupt, "not the answer");
  }
  put_message(to_client_, *message);
  query_.reset();
  close_upstream();
  restart_timer();
  return {};
}

void TcpSession::try_next() {
  const std::vector<Upstream>& upstreams = server_.options().upstreams;
  while (next_ < upstreams.size()) {
    close_upstream();
    if (ask(upstreams[next_++])) return restart_timer();
  }
  close_upstream();
  put_message(to_client_, print_failure(*query_, Code::kServerFailure));
  query_.reset();
  restart_timer();
}

Result<> TcpSession::ask(const Upstream& upstream) {
  upstream_ =
      UniqueFd(socket(upstream.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!upstream_) return fail_errno("socket");
  const auto* address = reinterpret_cast<const sockaddr*>(&upstream.address);
  if (connect(upstream_.get(), address, upstream.size) != 0 && errno != EINPROGRESS) {
    return fail_errno("connect to {}", upstream.name);
  }
  put_message(to_upstream_, message_);
  return server_.loop().watch(upstream_.get(), EPOLLIN | EPOLLOUT,
                              [this](uint32_t events) { serve_upstream(events); });
}

void TcpSession::close_upstream() {
  if (upstream_) server_.loop().forget(upstream_.get());
  upstream_.reset();
  to_upstream_ = {};
}

// The last step of every turn: what each side waits for, or the end.
void TcpSession::settle(const Result<>& result) {
  if (!result) return server_.drop(this);
  const auto wanted = [](const Stream& stream) {
    const bool listens = stream.input.size() < kMaxInput;
    return (listens ? uint32_t{EPOLLIN} : 0U) | (stream.output.empty() ? 0U : uint32_t{EPOLLOUT});
  };
  Result<> changed = server_.loop().change(client_.get(), wanted(to_client_));
  if (changed && upstream_) {
    changed = server_.loop().change(upstream_.get(), wanted(to_upstream_));
  }
  if (!changed) server_.drop(this);
}

}  // namespace trivet::dns
