// A small HTTP/1.1 server for one document.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "trivet/extension.h"

namespace trivet::metrics {

// What to answer to the head of a request (up to and with its blank line), whose document is made
// by `make` if it is asked for: nothing when it can't be made now.
[[nodiscard]] std::string answer_request(std::string_view head,
                                         const std::function<std::optional<std::string>()>& make);

// Serves GET /metrics on a port of all addresses, in a thread of its own. At most 16 clients at a
// time, 5 seconds each.
class Endpoint {
 public:
  using Make = std::function<std::optional<std::string>()>;

  explicit Endpoint(Make make) : make_(std::move(make)) {}
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;
  ~Endpoint();

  // The port that it listens on; 0 asks for any.
  extension::Outcome<uint16_t> start(uint16_t port);

 private:
  struct Client {
    int socket = -1;
    std::chrono::steady_clock::time_point deadline;
    std::string input;
    std::string output;
    bool answered = false;
  };
  void serve();
  void accept_client();
  // False when the client is done with.
  bool serve_client(Client& client, short events);
  [[nodiscard]] int next_timeout() const;

  Make make_;
  int listener_ = -1;
  std::array<int, 2> stop_{-1, -1};  // a pipe: its end stops the thread
  std::list<Client> clients_;
  std::thread thread_;
};

}  // namespace trivet::metrics
