// pasta for real: a network namespace of a child, a server in it, and requests through a published
// port. Needs root and the program pasta.
#include <arpa/inet.h>
#include <array>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/network.h"
#include "net/routes.h"
#include <net/if.h>

namespace trivet::net {
namespace {

constexpr uint16_t kInsidePort = 8080;

void bring_up_loopback() {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  ioctl(fd.get(), SIOCSIFFLAGS, &request);
}

UniqueFd bind_inside(int type, uint16_t port) {
  UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port)};
  bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  return fd;
}

// In the child: answers TCP connections with "tcp" and datagrams with "udp".
[[noreturn]] void serve(uint16_t udp_port) {
  const UniqueFd tcp = bind_inside(SOCK_STREAM, kInsidePort);
  const UniqueFd udp = bind_inside(SOCK_DGRAM, udp_port);
  listen(tcp.get(), 8);
  for (;;) {
    std::array<pollfd, 2> fds{pollfd{.fd = tcp.get(), .events = POLLIN},
                              pollfd{.fd = udp.get(), .events = POLLIN}};
    poll(fds.data(), fds.size(), -1);
    if (fds[0].revents != 0) {
      const UniqueFd connection(accept4(tcp.get(), nullptr, nullptr, SOCK_CLOEXEC));
      (void)!write(connection.get(), "tcp", 3);
    }
    if (fds[1].revents != 0) {
      sockaddr_in peer{};
      socklen_t length = sizeof peer;
      char byte = 0;
      recvfrom(udp.get(), &byte, 1, 0, reinterpret_cast<sockaddr*>(&peer), &length);
      sendto(udp.get(), "udp", 3, 0, reinterpret_cast<sockaddr*>(&peer), length);
    }
  }
}

// A child in a network namespace of its own, with lo up and the servers running.
class Guest {
 public:
  explicit Guest(uint16_t udp_port = kInsidePort) {
    std::array<int, 2> fds{};
    EXPECT_EQ(pipe2(fds.data(), O_CLOEXEC), 0);
    const UniqueFd read_end(fds[0]);
    UniqueFd write_end(fds[1]);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (unshare(CLONE_NEWNET) != 0) _exit(1);
      bring_up_loopback();
      (void)!write(write_end.get(), "r", 1);
      serve(udp_port);
    }
    write_end.reset();
    char byte = 0;
    EXPECT_EQ(read(read_end.get(), &byte, 1), 1);
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

std::string fetch(int type, uint16_t port) {
  const UniqueFd fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = 5};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return std::strerror(errno);
  }
  if (type == SOCK_DGRAM) (void)!write(fd.get(), "?", 1);
  std::array<char, 16> text{};
  const ssize_t length = read(fd.get(), text.data(), text.size());
  return length < 0 ? std::strerror(errno) : std::string(text.data(), static_cast<size_t>(length));
}

class Pasta : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }
};

TEST_F(Pasta, PublishesTcpAndUdpPorts) {
  PastaOptions options{.ports = {{.container_port = kInsidePort},
                                 {.host_ip = "127.0.0.1", .container_port = kInsidePort},
                                 {.container_port = kInsidePort, .protocol = "udp"}}};
  ASSERT_TRUE(choose_ports(options.ports));
  // The same number on both sides: see PortMapping.
  const uint16_t udp_port = options.ports[2].host_port;
  options.ports[2].container_port = udp_port;
  const Guest guest(udp_port);
  const auto pasta = start_pasta(guest.pid(), options);
  ASSERT_TRUE(pasta) << pasta.error().message();
  EXPECT_TRUE(is_alive(*pasta));
  EXPECT_EQ(fetch(SOCK_STREAM, options.ports[0].host_port), "tcp");
  EXPECT_EQ(fetch(SOCK_STREAM, options.ports[1].host_port), "tcp");
  EXPECT_EQ(fetch(SOCK_DGRAM, udp_port), "udp");
  EXPECT_TRUE(stop_pasta(*pasta));
  EXPECT_FALSE(is_alive(*pasta));
  EXPECT_FALSE(identify_process(pasta->pid)) << "not reaped";
  EXPECT_TRUE(stop_pasta(*pasta));
  EXPECT_EQ(fetch(SOCK_STREAM, options.ports[0].host_port), std::strerror(ECONNREFUSED));
}

TEST_F(Pasta, TheHostsLoopbackStaysOutOfReach) {
  const Guest guest;
  const auto pasta = start_pasta(guest.pid(), {});
  ASSERT_TRUE(pasta) << pasta.error().message();
  const UniqueFd server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  ASSERT_EQ(bind(server.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ASSERT_EQ(listen(server.get(), 1), 0);
  getsockname(server.get(), reinterpret_cast<sockaddr*>(&address), &length);
  const pid_t child = fork();
  if (child == 0) {
    const std::string path = "/proc/" + std::to_string(guest.pid()) + "/ns/net";
    const UniqueFd ns(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (setns(ns.get(), CLONE_NEWNET) != 0) _exit(9);
    const std::string answer = fetch(SOCK_STREAM, ntohs(address.sin_port));
    _exit(answer == std::strerror(ECONNREFUSED) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(stop_pasta(*pasta));
}

TEST_F(Pasta, WorksOnAHostWithoutRoutes) {
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNET) != 0) _exit(9);
    bring_up_loopback();
    if (!host_address().empty()) _exit(8);
    const Guest guest;
    PastaOptions options{.ports = {{.container_port = kInsidePort}}};
    if (!choose_ports(options.ports)) _exit(7);
    const auto pasta = start_pasta(guest.pid(), options);
    if (!pasta) _exit(6);
    const bool ok = fetch(SOCK_STREAM, options.ports[0].host_port) == "tcp";
    (void)stop_pasta(*pasta);
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(Pasta, SaysWhyItCouldNotStart) {
  const Guest guest;
  const auto pasta = start_pasta(
      guest.pid(), {.ports = {{.host_ip = "1.2.3.4.5", .host_port = 1, .container_port = 2}}});
  ASSERT_FALSE(pasta);
  EXPECT_EQ(pasta.error().code(), ErrorCode::kNetwork);
  EXPECT_THAT(pasta.error().message(), testing::StartsWith("pasta: "));
  EXPECT_THAT(pasta.error().hint_text(), testing::HasSubstr("--network none"));
}

}  // namespace
}  // namespace trivet::net
