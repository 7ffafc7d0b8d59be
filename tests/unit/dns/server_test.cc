// The server on loopback, with a server above it that is a thread of the test.
#include "pod/dns/server.h"

#include <arpa/inet.h>
#include <array>
#include <atomic>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pod/dns/resolv_conf.h"

namespace trivet::dns {
namespace {

using std::chrono::milliseconds;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

std::string make_query(const std::string& name, uint16_t type = kTypeA) {
  std::string query("\x12\x34\x01\0\0\1\0\0\0\0\0\0", 12);
  query += static_cast<char>(name.size());
  query += name;
  query += std::string("\0\0", 2) + static_cast<char>(type) + std::string("\0\1", 2);
  return query;
}

// Answers every query with `address`, over UDP and TCP, after a forged one with another id.
class UpperServer {
 public:
  explicit UpperServer(uint32_t address) : address_(address) {
    udp_ = UniqueFd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    tcp_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in local = loopback(0);
    EXPECT_EQ(bind(udp_.get(), generic(local), sizeof local), 0);
    socklen_t size = sizeof local;
    EXPECT_EQ(getsockname(udp_.get(), reinterpret_cast<sockaddr*>(&local), &size), 0);
    EXPECT_EQ(bind(tcp_.get(), generic(local), sizeof local), 0);
    EXPECT_EQ(listen(tcp_.get(), 4), 0);
    port_ = ntohs(local.sin_port);
    threads_[0] = std::thread([this] { serve_udp(); });
    threads_[1] = std::thread([this] { serve_tcp(); });
  }
  UpperServer(const UpperServer&) = delete;
  UpperServer& operator=(const UpperServer&) = delete;
  ~UpperServer() {
    (void)shutdown(udp_.get(), SHUT_RDWR);
    (void)shutdown(tcp_.get(), SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
  }
  [[nodiscard]] std::string name() const { return fmt::format("127.0.0.1#{}", port_); }

 private:
  std::string answer(std::string_view query) const {
    const auto parsed = parse_query(query);
    return parsed ? print_answer(*parsed, address_) : "";
  }
  void serve_udp() {
    std::array<char, 512> buffer{};
    sockaddr_in client{};
    socklen_t size = sizeof client;
    for (ssize_t count = 0; (count = recvfrom(udp_.get(), buffer.data(), buffer.size(), 0,
                                              reinterpret_cast<sockaddr*>(&client), &size)) > 0;) {
      const std::string good = answer({buffer.data(), static_cast<size_t>(count)});
      std::string forged = good;
      forged[0] = static_cast<char>(~forged[0]);
      forged.back() = 99;
      for (const std::string& text : {forged, good}) {
        (void)sendto(udp_.get(), text.data(), text.size(), 0, generic(client), size);
      }
    }
  }
  void serve_tcp() {
    for (;;) {
      const UniqueFd client(accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      std::array<char, 512> buffer{};
      const ssize_t count = recv(client.get(), buffer.data(), buffer.size(), 0);
      if (count <= 2) continue;
      const std::string good = answer({buffer.data() + 2, static_cast<size_t>(count) - 2});
      const std::string text = std::string(1, '\0') + static_cast<char>(good.size()) + good;
      // In two pieces.
      (void)send(client.get(), text.data(), 5, MSG_NOSIGNAL);
      std::this_thread::sleep_for(milliseconds(5));
      (void)send(client.get(), text.data() + 5, text.size() - 5, MSG_NOSIGNAL);
    }
  }

  uint32_t address_;
  uint16_t port_ = 0;
  UniqueFd udp_;
  UniqueFd tcp_;
  std::array<std::thread, 2> threads_;
};

class DnsServerTest : public testing::Test {
 protected:
  void start(const std::string& upstreams) {
    server_ = Server::create(loop_, {.address = INADDR_LOOPBACK,
                                     .port = 0,
                                     .names = {"db", "web"},
                                     .upstreams = parse_upstreams(upstreams).value(),
                                     .timeout = milliseconds(100)})
                  .value();
  }
  // The loop runs until the client's thread is done.
  void serve(const std::function<void()>& client) {
    std::atomic<bool> done = false;
    std::thread thread([&] {
      client();
      done = true;
    });
    enum class Timer { kTick };
    while (!done) {
      loop_.set_timer(Timer::kTick, milliseconds(5), [] {});
      ASSERT_TRUE(loop_.turn());
    }
    thread.join();
  }
  UniqueFd connect_to(int type) const {
    UniqueFd client(socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const sockaddr_in address = loopback(server_->port());
    EXPECT_EQ(connect(client.get(), generic(address), sizeof address), 0);
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    (void)setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return client;
  }
  static std::string receive(int socket) {
    std::array<char, 512> buffer{};
    const ssize_t count = recv(socket, buffer.data(), buffer.size(), 0);
    return {buffer.data(), static_cast<size_t>(std::max<ssize_t>(count, 0))};
  }
  std::string ask_udp(const std::string& query) {
    std::string answer;
    serve([&] {
      const UniqueFd client = connect_to(SOCK_DGRAM);
      EXPECT_GT(send(client.get(), query.data(), query.size(), 0), 0);
      answer = receive(client.get());
    });
    return describe(answer);
  }
  // "127.0.0.1", "empty", "failure 2"
  static std::string describe(const std::string& answer) {
    if (answer.size() < 12 || !answer.starts_with("\x12\x34")) return "none";
    if ((answer[3] & 0xf) != 0) return fmt::format("failure {}", answer[3] & 0xf);
    if (answer[7] == 0) return "empty";
    in_addr address{};
    std::memcpy(&address, answer.data() + answer.size() - 4, 4);
    return inet_ntoa(address);
  }

  EventLoop loop_ = EventLoop::create().value();
  std::unique_ptr<Server> server_;
};

TEST_F(DnsServerTest, ContainersAreLocal) {
  start("");
  EXPECT_EQ(ask_udp(make_query("db")), "127.0.0.1");
  EXPECT_EQ(ask_udp(make_query("DB")), "127.0.0.1");
  EXPECT_EQ(ask_udp(make_query("web", kTypeAaaa)), "empty");
  EXPECT_EQ(ask_udp(make_query("other")), "failure 2");
  EXPECT_EQ(ask_udp(make_query("db") + "x"), "failure 1");
}

TEST_F(DnsServerTest, OthersAreAskedAbove) {
  const UpperServer upper(0x0a000001);
  start(upper.name());
  EXPECT_EQ(ask_udp(make_query("other")), "10.0.0.1");
  EXPECT_EQ(ask_udp(make_query("db")), "127.0.0.1");
}

TEST_F(DnsServerTest, TheNextServerIsAskedWhenOneIsSilentOrAway) {
  const UniqueFd silent(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in local = loopback(0);
  socklen_t size = sizeof local;
  ASSERT_EQ(bind(silent.get(), generic(local), size), 0);
  ASSERT_EQ(getsockname(silent.get(), reinterpret_cast<sockaddr*>(&local), &size), 0);
  const UpperServer upper(0x0a000002);
  start(fmt::format("127.0.0.1#1 127.0.0.1#{} {}", ntohs(local.sin_port), upper.name()));
  EXPECT_EQ(ask_udp(make_query("other")), "10.0.0.2");
  start(fmt::format("127.0.0.1#{}", ntohs(local.sin_port)));
  EXPECT_EQ(ask_udp(make_query("other")), "failure 2");
}

TEST_F(DnsServerTest, TcpServesSeveralQueries) {
  const UpperServer upper(0x0a000003);
  start("127.0.0.1#1 " + upper.name());
  std::vector<std::string> answers;
  serve([&] {
    const UniqueFd client = connect_to(SOCK_STREAM);
    std::string text;
    for (const char* name : {"db", "other", "web"}) {
      const std::string query = make_query(name);
      text += std::string(1, '\0') + static_cast<char>(query.size()) + query;
    }
    EXPECT_GT(send(client.get(), text.data(), text.size(), 0), 0);
    std::string input;
    while (answers.size() < 3) {
      const std::string more = receive(client.get());
      if (more.empty()) break;
      input += more;
      while (input.size() >= 2 && input.size() >= 2U + static_cast<uint8_t>(input[1])) {
        const auto length = static_cast<uint8_t>(input[1]);
        answers.push_back(describe(input.substr(2, length)));
        input.erase(0, 2U + length);
      }
    }
  });
  EXPECT_THAT(answers, testing::ElementsAre("127.0.0.1", "10.0.0.3", "127.0.0.1"));
}

TEST_F(DnsServerTest, TcpEndsByGarbage) {
  start("");
  serve([&] {
    const UniqueFd client = connect_to(SOCK_STREAM);
    EXPECT_GT(send(client.get(), "\0\3abc", 5, 0), 0);
    EXPECT_EQ(receive(client.get()), "");
  });
}

TEST_F(DnsServerTest, ManyConnectionsDoNotStarveUdp) {
  start("");
  serve([&] {
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 100; ++i) clients.push_back(connect_to(SOCK_STREAM));
  });
  EXPECT_EQ(ask_udp(make_query("db")), "127.0.0.1");
}

TEST(ResolvConf, ServersAreFound) {
  const auto found = find_upstreams(
      "# nameserver 1.1.1.1\nnameserver 10.0.0.1\n nameserver\tfd00::1 \nnameserver db\n"
      "search a\nnameserver 10.0.0.1#54\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n");
  std::vector<std::string> names;
  for (const Upstream& upstream : found) names.push_back(upstream.name);
  EXPECT_THAT(names, testing::ElementsAre("10.0.0.1", "fd00::1", "10.0.0.2"));
}

TEST(ResolvConf, SettingsAreReadStrictly) {
  EXPECT_EQ(parse_upstreams(" 10.0.0.1  fd00::1#5353\n").value().size(), 2U);
  EXPECT_EQ(parse_upstreams("").value().size(), 0U);
  for (const char* text : {"db", "10.0.0.1#", "10.0.0.1#0", "10.0.0.1#65536", "10.0.0.1,10.0.0.2",
                           "1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4"}) {
    EXPECT_FALSE(parse_upstreams(text)) << text;
  }
}

}  // namespace
}  // namespace trivet::dns
