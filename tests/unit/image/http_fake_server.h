// An HTTP/1.1 server on a loopback port for tests: one request a connection, answered by a
// function.
#pragma once

#include <algorithm>
#include <arpa/inet.h>
#include <atomic>
#include <cctype>
#include <functional>
#include <map>
#include <mutex>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "base/unique_fd.h"

namespace trivet::test {

struct FakeRequest {
  std::string method;
  std::string path;                            // with the query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct FakeReply {
  int status = 200;
  std::string body = {};
  std::vector<std::string> headers = {};  // "Name: value"
  size_t send_only = std::string::npos;   // bytes of the body to send before closing
};

class FakeServer {
 public:
  using Handler = std::function<FakeReply(const FakeRequest&)>;

  explicit FakeServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const raw = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    if (::bind(listener_.get(), raw, size) != 0 || ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), raw, &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  ~FakeServer() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    for (std::thread& worker : workers_) worker.join();
  }

  [[nodiscard]] std::string host() const { return fmt::format("127.0.0.1:{}", port_); }
  [[nodiscard]] std::string url(const std::string& path) const { return "http://" + host() + path; }
  // All requests so far, in order.
  [[nodiscard]] std::vector<FakeRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  [[nodiscard]] size_t count(const std::string& path_part) const {
    size_t result = 0;
    for (const FakeRequest& request : requests()) {
      if (request.path.find(path_part) != std::string::npos) ++result;
    }
    return result;
  }

 private:
  void accept_all() {
    for (;;) {
      UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      workers_.emplace_back([this, fd = client.release()] { serve(UniqueFd(fd)); });
    }
  }

  // False when the peer closed before `done` was true of the text.
  static bool read_until(int fd, std::string& text,
                         const std::function<bool(const std::string&)>& done) {
    char buffer[4096];
    while (!done(text)) {
      const ssize_t count = ::read(fd, buffer, sizeof(buffer));
      if (count <= 0) return false;
      text.append(buffer, static_cast<size_t>(count));
      if (text[0] == 0x16) return false;  // a TLS handshake
    }
    return true;
  }

  static void parse_head(std::string_view head, FakeRequest& request) {
    const size_t line_end = head.find("\r\n");
    const std::string_view line = head.substr(0, line_end);
    const size_t first = line.find(' ');
    const size_t second = line.find(' ', first + 1);
    request.method = line.substr(0, first);
    request.path = line.substr(first + 1, second - first - 1);
    head.remove_prefix(line_end + 2);
    while (!head.empty()) {
      const size_t end = std::min(head.find("\r\n"), head.size());
      const std::string_view header = head.substr(0, end);
      const size_t colon = header.find(':');
      if (colon != header.npos) {
        std::string name(header.substr(0, colon));
        std::ranges::transform(name, name.begin(),
                               [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        const size_t value = header.find_first_not_of(' ', colon + 1);
        request.headers[name] = value == header.npos ? "" : header.substr(value);
      }
      head.remove_prefix(std::min(end + 2, head.size()));
    }
  }

  void serve(UniqueFd fd) {
    std::string text;
    const auto head_done = [](const std::string& t) { return t.find("\r\n\r\n") != t.npos; };
    if (!read_until(fd.get(), text, head_done)) return;
    FakeRequest request;
    const size_t head_size = text.find("\r\n\r\n") + 4;
    parse_head(std::string_view(text).substr(0, head_size - 2), request);
    const size_t body_size = request.headers.contains("content-length")
                                 ? std::stoul(request.headers["content-length"])
                                 : 0;
    if (!read_until(fd.get(), text,
                    [&](const std::string& t) { return t.size() >= head_size + body_size; })) {
      return;
    }
    request.body = text.substr(head_size, body_size);
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    answer(fd.get(), request, handler_(request));
  }

  static void answer(int fd, const FakeRequest& request, const FakeReply& reply) {
    std::string out = fmt::format("HTTP/1.1 {} Status\r\nConnection: close\r\n", reply.status);
    for (const std::string& header : reply.headers) out += header + "\r\n";
    out += fmt::format("Content-Length: {}\r\n\r\n", reply.body.size());
    if (request.method != "HEAD") out += reply.body.substr(0, reply.send_only);
    (void)::send(fd, out.data(), out.size(), MSG_NOSIGNAL);
    ::shutdown(fd, SHUT_WR);
  }

  Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> workers_;
  mutable std::mutex mutex_;
  std::vector<FakeRequest> requests_;
};

}  // namespace trivet::test
