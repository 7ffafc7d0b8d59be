// The infra container's program in a child of the test, with real extensions; and the supervisor's
// side of the conversation.
#include "pod/infra.h"

#include <chrono>
#include <csignal>
#include <poll.h>
#include <string>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pod/infra/infra.h"
#include "pod/line_buffer.h"

namespace trivet::pod {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::pair<UniqueFd, UniqueFd> make_socket_pair() {
  std::array<int, 2> ends{};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

class InfraTest : public testing::Test {
 protected:
  void SetUp() override {
    auto [ours, theirs] = make_socket_pair();
    child_ = fork();
    if (child_ == 0) {
      ours.reset();
      (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
      auto infra = Infra::create(std::move(theirs));
      _exit(infra && (*infra)->run() ? 0 : 1);
    }
    socket_ = std::move(ours);
  }
  void TearDown() override {
    socket_.reset();
    if (child_ > 0) (void)wait_for_end();
  }

  int wait_for_end() {
    int status = -1;
    EXPECT_GT(waitpid(std::exchange(child_, 0), &status, 0), 0);
    return status;
  }

  void order(const InfraOrder& order) {
    const std::string line = print_infra_order(order) + "\n";
    ASSERT_EQ(send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(line.size()));
  }
  void launch_shell(const std::string& script, const std::string& first = "{}") {
    order({.to = "x", .launch = {"/bin/sh", "-c", script}, .order = first});
  }
  // "ready", "request_port 80", "ended: …"; "closed".
  std::string report() {
    for (;;) {
      if (const auto line = lines_.next().value())
        return describe(parse_infra_report(*line).value());
      std::array<char, 4096> buffer{};
      const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) return "closed";
      EXPECT_TRUE(lines_.feed({buffer.data(), static_cast<size_t>(count)}));
    }
  }
  static std::string describe(const InfraReport& report) {
    if (!report.request) return "ended: " + report.ended;
    return print_request(*report.request);
  }

  pid_t child_ = 0;
  UniqueFd socket_;
  LineBuffer lines_{kMaxExtensionLine};
};

TEST_F(InfraTest, PassesLinesOnAndBack) {
  launch_shell(R"(read first; echo '{"type":"ready"}'; read event
                  echo "{\"type\":\"failed\",\"message\":\"$first $event\"}"; cat)",
               "one");
  EXPECT_EQ(report(), R"({"type":"ready"})");
  order({.to = "", .launch = {}, .order = "two"});
  EXPECT_EQ(report(), R"({"message":"one two","type":"failed"})");
}

TEST_F(InfraTest, TellsHowAnExtensionEnds) {
  launch_shell("read first; echo oh dear >&2; exit 3");
  EXPECT_EQ(report(), "ended: ended with exit code 3: oh dear");
  launch_shell("kill -SEGV $$");
  EXPECT_EQ(report(), "ended: ended with exit code 139");
  order({.to = "x", .launch = {"/nowhere"}, .order = "{}"});
  EXPECT_THAT(report(), StartsWith("ended: run \"/nowhere\": No such file"));
}

TEST_F(InfraTest, LastRequestsOfTheDeadAreHeard) {
  launch_shell(R"(read first; echo '{"type":"failed","message":"no room"}'; exit 1)");
  EXPECT_EQ(report(), R"({"message":"no room","type":"failed"})");
  EXPECT_EQ(report(), "ended: ended with exit code 1");
}

TEST_F(InfraTest, EndsWhoSendsGarbage) {
  launch_shell("read first; echo hello; sleep 100");
  EXPECT_THAT(report(),
              StartsWith("ended: sent a line that is no message: message: not valid JSON"));
  launch_shell("tr '\\0' x < /dev/zero");
  EXPECT_EQ(report(), "ended: a line is longer than 262144 bytes");
}

TEST_F(InfraTest, EndsWhoDoesNotRead) {
  launch_shell("exec sleep 100");
  const std::string event(100000, 'x');
  for (int i = 0; i < 20; ++i) order({.to = "x", .launch = {}, .order = event});
  EXPECT_EQ(report(), "ended: does not read what it is told");
}

TEST_F(InfraTest, OneRequestIsAnsweredBeforeTheNextIsHeard) {
  launch_shell(R"(read first; for i in 1 2 3; do echo "{\"type\":\"request_numbers\",\"id\":$i}"
                  done; cat >&2)");
  EXPECT_EQ(report(), R"({"id":1,"type":"request_numbers"})");
  pollfd entry{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&entry, 1, 100), 0);
  order({.to = "x", .launch = {}, .order = "answer"});
  EXPECT_EQ(report(), R"({"id":2,"type":"request_numbers"})");
}

TEST_F(InfraTest, EndsWhenTheSupervisorHasGone) {
  socket_.reset();
  EXPECT_TRUE(WIFEXITED(wait_for_end()));
}

TEST_F(InfraTest, EndsOnSigterm) {
  launch_shell(R"(echo '{"type":"ready"}'; cat)");
  EXPECT_EQ(report(), R"({"type":"ready"})");
  ASSERT_EQ(kill(child_, SIGTERM), 0);
  const int status = wait_for_end();
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(InfraTest, EndsByASupervisorThatSendsGarbage) {
  ASSERT_EQ(send(socket_.get(), "garbage\n", 8, MSG_NOSIGNAL), 8);
  EXPECT_EQ(report(), "closed");
}

// The supervisor's side against a scripted infra container.
class InfraChannelTest : public testing::Test {
 protected:
  using Script = std::function<void(int socket)>;

  void connect(Script script) {
    auto [ours, theirs] = make_socket_pair();
    peer_ =
        std::jthread([script = std::move(script),
                      end = std::make_shared<UniqueFd>(std::move(theirs))] { script(end->get()); });
    channel_ = std::make_unique<InfraChannel>(
        loop_, std::move(ours),
        InfraChannel::Handlers{
            .request_port = [this](const std::string& protocol, uint16_t host,
                                   uint16_t guest) -> Result<uint16_t> {
              calls_.push_back(fmt::format("port {} {} {}", protocol, host, guest));
              if (host == 1) return fail(ErrorCode::kAlreadyExists, "port 1 is taken");
              return uint16_t{40000};
            },
            .numbers = [] { return std::vector<ContainerNumbers>{{.name = "app"}}; },
            .extension_failed =
                [this](const std::string& extension, const std::string& message) {
                  calls_.push_back(extension + " failed: " + message);
                  loop_.stop();
                },
            .start_failed = [this](Error error) { failure_ = std::move(error); }});
  }
  // Until all of them are ready, or one has failed.
  Result<> start(milliseconds timeout = milliseconds(5000)) {
    PodRecord record;
    record.id = "4f00";
    record.extensions = {{.name = "one", .path = "/one", .settings = "s"},
                         {.name = "two", .path = "/two.so", .settings = ""}};
    record.containers = {{.id = "", .name = "app"}};
    failure_.reset();
    TRY(channel_->start_extensions(record));
    loop_.set_timer(Timer::kLimit, timeout, [this] {
      failure_ = Error(ErrorCode::kTimeout, channel_->starting().value_or("none"));
    });
    while (!failure_ && channel_->starting()) TRY(loop_.turn());
    loop_.clear_timer(Timer::kLimit);
    if (failure_) return std::unexpected(*failure_);
    return {};
  }
  static std::string receive_line(int socket) {
    std::string line;
    char byte = 0;
    while (recv(socket, &byte, 1, 0) == 1 && byte != '\n') line += byte;
    return line;
  }
  static void say(int socket, const std::string& from, const ExtensionRequest& request) {
    send_line(socket, print_infra_report({.from = from, .request = request, .ended = ""}));
  }
  static void send_line(int socket, const std::string& line) {
    const std::string text = line + "\n";
    (void)send(socket, text.data(), text.size(), MSG_NOSIGNAL);
  }
  static void say_ready(int socket) {
    (void)receive_line(socket);
    (void)receive_line(socket);
    for (const char* name : {"one", "two"}) say(socket, name, {});
  }

  enum class Timer { kLimit };
  EventLoop loop_ = EventLoop::create().value();
  std::optional<Error> failure_;
  std::unique_ptr<InfraChannel> channel_;
  std::jthread peer_;
  std::vector<std::string> calls_;
};

TEST_F(InfraChannelTest, ServesRequestsWhileExtensionsStart) {
  std::vector<std::string> seen;
  connect([&](int socket) {
    const InfraOrder one = parse_infra_order(receive_line(socket)).value();
    seen.push_back(one.to + " " + one.launch.at(0));
    EXPECT_THAT(parse_order(one.order).value().containers, ElementsAre("app"));
    seen.push_back(parse_infra_order(receive_line(socket)).value().launch.at(1));
    using Type = ExtensionRequest::Type;
    say(socket, "one", {.type = Type::kPort, .id = 5, .guest = 9090});
    seen.push_back(parse_infra_order(receive_line(socket)).value().order);
    say(socket, "one", {.type = Type::kPort, .id = 6, .host = 1, .guest = 1});
    seen.push_back(parse_infra_order(receive_line(socket)).value().order);
    say(socket, "two", {});
    say(socket, "one", {});
  });
  ASSERT_TRUE(start());
  peer_.join();
  EXPECT_THAT(calls_, ElementsAre("port tcp 0 9090", "port tcp 1 1"));
  EXPECT_THAT(seen, ElementsAre("one /extensions/one", "/extensions/two.so",
                                R"({"id":5,"port":40000,"type":"port"})",
                                R"({"id":6,"message":"port 1 is taken","type":"error"})"));
}

TEST_F(InfraChannelTest, NamesTheExtensionThatDoesNotStart) {
  connect([](int socket) {
    (void)receive_line(socket);
    say(socket, "two", {.type = ExtensionRequest::Type::kFailed, .message = "no\nroom"});
  });
  EXPECT_EQ(start().error().message(), "extension \"two\": no room");
  connect([](int socket) {
    (void)receive_line(socket);
    send_line(socket, print_infra_report({.from = "one", .request = {}, .ended = "crashed"}));
  });
  EXPECT_EQ(start().error().message(), "extension \"one\": crashed");
  connect([](int socket) {
    (void)receive_line(socket);
    (void)receive_line(socket);
    say(socket, "one", {});
    (void)receive_line(socket);
  });
  const auto late = start(milliseconds(50));
  EXPECT_EQ(late.error().code(), ErrorCode::kTimeout);
  EXPECT_EQ(late.error().message(), "two");
  channel_.reset();
}

TEST_F(InfraChannelTest, GarbageAndAnEndAreErrors) {
  connect([](int socket) { send_line(socket, "garbage"); });
  EXPECT_EQ(start().error().code(), ErrorCode::kCorrupt);
  connect([](int socket) { (void)receive_line(socket); });
  EXPECT_FALSE(start());
}

TEST_F(InfraChannelTest, LaterPortsAreRefusedAndFailuresAreTold) {
  std::string answer;
  std::string event;
  connect([&](int socket) {
    say_ready(socket);
    event = parse_infra_order(receive_line(socket)).value().order;
    say(socket, "one", {.type = ExtensionRequest::Type::kPort, .id = 1, .guest = 80});
    answer = parse_infra_order(receive_line(socket)).value().order;
    const std::string end = print_infra_report({.from = "one", .request = {}, .ended = "crashed"});
    send_line(socket, end);
    send_line(socket, end);
  });
  ASSERT_TRUE(start());
  channel_->send({.kind = Event::Kind::kStopping});
  ASSERT_TRUE(loop_.run());
  peer_.join();
  EXPECT_THAT(calls_, ElementsAre("one failed: crashed"));
  EXPECT_THAT(answer, HasSubstr("in on_start only"));
  EXPECT_EQ(event, R"({"event":"stopping","type":"event"})");
}

}  // namespace
}  // namespace trivet::pod
