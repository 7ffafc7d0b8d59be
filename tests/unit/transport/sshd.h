// OpenSSH's real server on a loopback port, with a configuration and keys of its own.
#pragma once

#include <arpa/inet.h>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <pwd.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/spawn.h"
#include "base/text.h"
#include "trivet/transport.h"

namespace trivet::transport {

namespace sshd {

inline constexpr const char* kServer = "/usr/sbin/sshd";

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline uint16_t free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd.get(), generic, length) != 0 || ::getsockname(fd.get(), generic, &length) != 0) {
    throw std::runtime_error("no free port");
  }
  return ntohs(address.sin_port);
}

inline bool answers(uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

inline void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

inline std::string read(const std::filesystem::path& path) {
  return read_file(path.string()).value_or("");
}

inline void make_key(const std::filesystem::path& path) {
  const auto made = run_program({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path});
  if (!made || !made->ok()) throw std::runtime_error("ssh-keygen failed");
}

}  // namespace sshd

class Sshd {
 public:
  // Why there can be none on this host; empty when there can.
  static std::string missing();

  Sshd();
  Sshd(const Sshd&) = delete;
  Sshd& operator=(const Sshd&) = delete;
  ~Sshd();

  [[nodiscard]] const SshEndpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  // For whoever runs this test, starting in workdir().
  [[nodiscard]] SshOptions options() const;
  [[nodiscard]] std::string workdir() const { return folder_ / "work space"; }
  void stop();
  // Kills the processes that serve its connections.
  void break_connections() const;
  // What it has logged.
  [[nodiscard]] std::string log() const;

 private:
  void start();

  std::filesystem::path folder_;
  SshEndpoint endpoint_;
  pid_t pid_ = -1;
};

inline std::string Sshd::missing() {
  if (::access(sshd::kServer, X_OK) != 0) return "sshd (Debian: openssh-server)";
  const auto client = run_program({"ssh", "-V"});
  return client && client->ok() ? "" : "ssh (Debian: openssh-client)";
}

inline Sshd::Sshd() {
  std::string name = std::filesystem::temp_directory_path() / "trivet sshd XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  folder_ = name;
  std::filesystem::create_directory(workdir());
  for (const char* key : {"host", "id", "other"}) sshd::make_key(folder_ / key);
  sshd::write(folder_ / "known_hosts", "trivet-guest " + sshd::read(folder_ / "host.pub"));
  start();
}

inline Sshd::~Sshd() {
  stop();
  std::filesystem::remove_all(folder_);
}

inline void Sshd::start() {
  endpoint_ = {.host = "127.0.0.1", .port = sshd::free_port()};
  sshd::write(
      folder_ / "config",
      fmt::format("Port {}\nListenAddress 127.0.0.1\nHostKey \"{}\"\nAuthorizedKeysFile \"{}\"\n"
                  "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n"
                  "PrintMotd no\nMaxStartups 50\n",
                  endpoint_.port, path("host"), path("id.pub")));
  const auto log = open_file(path("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const auto null = open_file("/dev/null", O_RDONLY);
  std::vector<std::string> argv{sshd::kServer, "-D", "-e", "-f", path("config")};
  // As root it wants a directory in /run, which is made where nobody else sees it.
  if (::geteuid() == 0) {
    argv.insert(argv.begin(), {"unshare", "--mount", "sh", "-c",
                               "mount -t tmpfs -o mode=755 sshd /run && mkdir /run/sshd && "
                               "exec \"$0\" \"$@\""});
  }
  pid_ = spawn_program(argv, {}, {.in = null->get(), .out = log->get(), .err = log->get()}).value();
  constexpr int kTries = 600;
  for (int i = 0; i < kTries; ++i) {
    if (sshd::answers(endpoint_.port)) return;
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) break;
    ::usleep(50'000);
  }
  throw std::runtime_error("sshd does not start: " + this->log());
}

inline void Sshd::stop() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGTERM);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

inline void Sshd::break_connections() const {
  (void)run_program({"pkill", "-KILL", "-P", fmt::format("{}", pid_)});
}

inline std::string Sshd::log() const {
  return sshd::read(folder_ / "log");
}

inline SshOptions Sshd::options() const {
  const passwd* user = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe)
  return {.endpoint = [endpoint = endpoint_] { return Result<SshEndpoint>(endpoint); },
          .identity_file = path("id"),
          .known_hosts = path("known_hosts"),
          .user = user->pw_name,
          .workdir = workdir(),
          .connect_timeout = std::chrono::seconds(60)};
}

}  // namespace trivet::transport
