#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pod/metrics/endpoint.h"
#include "pod/metrics/settings.h"
#include "pod/metrics/text.h"

namespace trivet::metrics {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(MetricsText, IsOpenMetrics) {
  const std::vector<extension::Numbers> numbers{{.name = "app",
                                                 .running = true,
                                                 .restarts = 2,
                                                 .cpu_usage_ns = 1'050'000'001,
                                                 .memory_usage = 4096,
                                                 .memory_limit = 8192,
                                                 .pids = 3},
                                                {.name = "db"}};
  const std::map<std::string, Heard> heard{
      {"app", {.healthy = true, .exits = 2, .last_exit_code = 137}}};
  EXPECT_EQ(print_metrics({.id = "4f", .name = "a\"b\\c\nd", .hostname = "h"}, numbers, heard),
            R"(# TYPE trivet_pod info
# HELP trivet_pod The pod that these numbers are of.
trivet_pod_info{id="4f",name="a\"b\\c\nd",hostname="h"} 1
# TYPE trivet_container_running gauge
# HELP trivet_container_running Whether the container runs.
trivet_container_running{container="app"} 1
trivet_container_running{container="db"} 0
# TYPE trivet_container_restarts counter
# HELP trivet_container_restarts How often it was started again.
trivet_container_restarts_total{container="app"} 2
trivet_container_restarts_total{container="db"} 0
# TYPE trivet_container_cpu_seconds counter
# UNIT trivet_container_cpu_seconds seconds
# HELP trivet_container_cpu_seconds Processor time of all its processes since it was started.
trivet_container_cpu_seconds_total{container="app"} 1.050000001
trivet_container_cpu_seconds_total{container="db"} 0.000000000
# TYPE trivet_container_memory_usage_bytes gauge
# UNIT trivet_container_memory_usage_bytes bytes
# HELP trivet_container_memory_usage_bytes Memory that its cgroup accounts for.
trivet_container_memory_usage_bytes{container="app"} 4096
trivet_container_memory_usage_bytes{container="db"} 0
# TYPE trivet_container_memory_limit_bytes gauge
# UNIT trivet_container_memory_limit_bytes bytes
# HELP trivet_container_memory_limit_bytes Its limit of memory; +Inf: none.
trivet_container_memory_limit_bytes{container="app"} 8192
trivet_container_memory_limit_bytes{container="db"} +Inf
# TYPE trivet_container_tasks gauge
# HELP trivet_container_tasks Its processes and threads.
trivet_container_tasks{container="app"} 3
trivet_container_tasks{container="db"} 0
# TYPE trivet_container_healthy gauge
# HELP trivet_container_healthy Whether its probes find it ready.
trivet_container_healthy{container="app"} 1
trivet_container_healthy{container="db"} 0
# TYPE trivet_container_exits counter
# HELP trivet_container_exits How often it has ended.
trivet_container_exits_total{container="app"} 2
trivet_container_exits_total{container="db"} 0
# TYPE trivet_container_last_exit_code gauge
# HELP trivet_container_last_exit_code Of its last end; 0 before one.
trivet_container_last_exit_code{container="app"} 137
trivet_container_last_exit_code{container="db"} 0
# EOF
)");
}

TEST(MetricsSettings, ArePorts) {
  EXPECT_EQ(parse_settings("").value().pod, 9402);
  EXPECT_EQ(parse_settings("").value().host, 0);
  EXPECT_EQ(parse_settings("9000").value().host, 9000);
  EXPECT_EQ(parse_settings("0:9000").value().host, 0);
  EXPECT_EQ(parse_settings("0:9000").value().pod, 9000);
  EXPECT_EQ(parse_settings(":9000").value().host, std::nullopt);
  EXPECT_EQ(parse_settings(":9000").value().pod, 9000);
  for (const char* text : {"0", "x", "65536", "9000:", "9000:0", ":", ":0", "1:2:3", "-1", " 1"}) {
    EXPECT_FALSE(parse_settings(text)) << text;
  }
}

TEST(MetricsEndpoint, AnswersOneDocument) {
  const auto make = [] { return std::optional<std::string>("# EOF\n"); };
  const auto answer = [&](const std::string& line) {
    return answer_request(line + "\r\nHost: x\r\n\r\n", make);
  };
  EXPECT_EQ(answer("GET /metrics HTTP/1.1"),
            "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; "
            "charset=utf-8\r\nContent-Length: 6\r\nConnection: close\r\n\r\n# EOF\n");
  EXPECT_THAT(answer("HEAD /metrics?a=b HTTP/1.1"),
              testing::EndsWith("Content-Length: 6\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(answer("GET / HTTP/1.1"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(answer("POST /metrics HTTP/1.1"), HasSubstr("Allow: GET, HEAD\r\n"));
  for (const char* line :
       {"", "GET", "GET /metrics", "GET  HTTP/1.1", " /metrics HTTP/1.1", "GET /metrics HTTP/2"}) {
    EXPECT_THAT(answer(line), StartsWith("HTTP/1.1 400 ")) << line;
  }
  EXPECT_THAT(answer_request("GET /metrics HTTP/1.1\r\n\r\n", [] { return std::nullopt; }),
              StartsWith("HTTP/1.1 503 "));
}

class Client {
 public:
  explicit Client(uint16_t port) : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(socket_); }

  void say(const std::string& text) const {
    (void)send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
  }
  [[nodiscard]] std::string hear() const {
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t count = 0; (count = recv(socket_, buffer.data(), buffer.size(), 0)) > 0;) {
      text.append(buffer.data(), static_cast<size_t>(count));
    }
    return text;
  }

 private:
  int socket_;
};

TEST(MetricsEndpoint, ServesClientsSideBySide) {
  Endpoint endpoint([] { return std::optional<std::string>(std::string(1'000'000, 'x')); });
  const uint16_t port = endpoint.start(0).value();
  const Client silent(port);
  const Client slow(port);
  slow.say("GET /metr");
  const Client quick(port);
  quick.say("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_GT(quick.hear().size(), 1'000'000U);
  slow.say("ics HTTP/1.1\r\n\r\n");
  EXPECT_GT(slow.hear().size(), 1'000'000U);
  const Client talkative(port);
  talkative.say(std::string(9000, 'x'));
  EXPECT_THAT(talkative.hear(), StartsWith("HTTP/1.1 431 "));
}

TEST(MetricsEndpoint, SaysThatAPortIsTaken) {
  Endpoint one([] { return std::nullopt; });
  const uint16_t port = one.start(0).value();
  Endpoint two([] { return std::nullopt; });
  EXPECT_THAT(two.start(port).error(), HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace trivet::metrics
