#include "pod/metrics/endpoint.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "pod/metrics/text.h"

namespace trivet::metrics {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxClients = 16;
constexpr size_t kMaxHead = 8192;
constexpr std::chrono::seconds kPatience{5};
constexpr std::string_view kHeadEnd = "\r\n\r\n";

std::string print_answer(std::string_view status, std::string_view type, std::string_view body,
                         std::string_view more = {}) {
  std::string text = "HTTP/1.1 ";
  text.append(status).append("\r\nContent-Type: ").append(type);
  text += "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return text.append(more).append("Connection: close\r\n\r\n").append(body);
}

std::string print_refusal(std::string_view status, std::string_view more = {}) {
  return print_answer(status, "text/plain; charset=utf-8", std::string(status) + "\n", more);
}

extension::Outcome<> failure(const char* call) {
  return std::unexpected(std::string(call) + ": " + std::strerror(errno));
}

// The family of addresses is IPv6, where IPv4 comes mapped, unless the kernel has none.
extension::Outcome<> listen_on(int socket, int family, uint16_t port) {
  const int on = 1;
  const int off = 0;
  (void)setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  const auto* address = reinterpret_cast<const sockaddr*>(&v4);
  socklen_t size = sizeof v4;
  if (family == AF_INET6) {
    (void)setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    address = reinterpret_cast<const sockaddr*>(&v6);
    size = sizeof v6;
  }
  if (bind(socket, address, size) != 0) {
    return failure(("bind port " + std::to_string(port)).c_str());
  }
  if (listen(socket, kMaxClients) != 0) return failure("listen");
  return {};
}

// sin_port and sin6_port are in one place.
extension::Outcome<uint16_t> port_of(int socket) {
  sockaddr_in6 address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return std::unexpected(failure("getsockname").error());
  }
  return ntohs(address.sin6_port);
}

}  // namespace

std::string answer_request(std::string_view head,
                           const std::function<std::optional<std::string>()>& make) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  const bool valid = first != line.npos && first > 0 && last > first + 1 &&
                     (line.substr(last + 1) == "HTTP/1.1" || line.substr(last + 1) == "HTTP/1.0");
  if (!valid) return print_refusal("400 Bad Request");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (target.substr(0, target.find('?')) != "/metrics") return print_refusal("404 Not Found");
  if (method != "GET" && method != "HEAD") {
    return print_refusal("405 Method Not Allowed", "Allow: GET, HEAD\r\n");
  }
  const std::optional<std::string> document = make();
  if (!document) return print_refusal("503 Service Unavailable");
  std::string answer = print_answer("200 OK", kContentType, *document);
  if (method == "HEAD") answer.resize(answer.size() - document->size());
  return answer;
}

Endpoint::~Endpoint() {
  if (stop_[1] >= 0) close(stop_[1]);
  if (thread_.joinable()) thread_.join();
  for (const Client& client : clients_) close(client.socket);
  for (const int fd : {listener_, stop_[0]}) {
    if (fd >= 0) close(fd);
  }
}

extension::Outcome<uint16_t> Endpoint::start(uint16_t port) {
  int family = AF_INET6;
  listener_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) {
    family = AF_INET;
    listener_ = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  }
  if (listener_ < 0) return std::unexpected(failure("socket").error());
  if (auto listening = listen_on(listener_, family, port); !listening) {
    return std::unexpected(std::move(listening).error());
  }
  if (pipe2(stop_.data(), O_CLOEXEC) != 0) return std::unexpected(failure("pipe").error());
  thread_ = std::thread([this] { serve(); });
  return port_of(listener_);
}

int Endpoint::next_timeout() const {
  if (clients_.empty()) return -1;
  const auto first = std::ranges::min(clients_, {}, &Client::deadline).deadline;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(first - Clock::now()).count();
  return static_cast<int>(std::max<int64_t>(left, 0));
}

void Endpoint::serve() {
  for (;;) {
    // With as many clients as it may have it does not look for more.
    const bool full = clients_.size() >= kMaxClients;
    std::vector<pollfd> entries{{.fd = stop_[0], .events = POLLIN, .revents = 0},
                                {.fd = full ? -1 : listener_, .events = POLLIN, .revents = 0}};
    for (const Client& client : clients_) {
      const short wanted = client.answered ? POLLOUT : POLLIN;
      entries.push_back({.fd = client.socket, .events = wanted, .revents = 0});
    }
    if (poll(entries.data(), entries.size(), next_timeout()) < 0 && errno != EINTR) return;
    if (entries[0].revents != 0) return;
    const auto now = Clock::now();
    auto entry = entries.begin() + 2;
    for (auto client = clients_.begin(); client != clients_.end(); ++entry) {
      const bool stays = serve_client(*client, entry->revents) && client->deadline > now;
      if (!stays) close(client->socket);
      client = stays ? std::next(client) : clients_.erase(client);
    }
    if (entries[1].revents != 0) accept_client();
  }
}

void Endpoint::accept_client() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (client < 0) return;
  clients_.push_back({.socket = client, .deadline = Clock::now() + kPatience});
}

bool Endpoint::serve_client(Client& client, short events) {
  if (events == 0) return true;
  if (!client.answered) {
    std::array<char, 2048> buffer{};
    const ssize_t count = recv(client.socket, buffer.data(), buffer.size(), 0);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return false;
    client.input.append(buffer.data(), static_cast<size_t>(count));
    const size_t end = client.input.find(kHeadEnd);
    if (end == client.input.npos && client.input.size() < kMaxHead) return true;
    client.output = end == client.input.npos || end > kMaxHead
                        ? print_refusal("431 Request Header Fields Too Large")
                        : answer_request(client.input.substr(0, end + kHeadEnd.size()), make_);
    client.answered = true;
  }
  const ssize_t sent =
      send(client.socket, client.output.data(), client.output.size(), MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  client.output.erase(0, static_cast<size_t>(sent));
  return !client.output.empty();
}

}  // namespace trivet::metrics
