// trivet-probe-tls: carries one conversation of an HTTPS probe. What comes on stdin, a socket of
// the pod's supervisor, goes through TLS to the connected TCP socket that is descriptor 3, and
// back. The certificate is not checked, as in Kubernetes.
//
// It is a process of its own because the server is a container's: what parses its TLS has neither
// the supervisor's rights nor any others, and OpenSSL stays out of a program that every pod has.
#include <array>
#include <cstdio>
#include <fcntl.h>
#include <grp.h>
#include <memory>
#include <poll.h>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "base/fs.h"
#include "base/result.h"
#include "base/syscall_filter.h"

namespace trivet::pod {

namespace {

constexpr int kPlain = STDIN_FILENO;
constexpr int kServer = 3;
constexpr uid_t kNobody = 65534;

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL* session) const { SSL_free(session); }
};
using Context = std::unique_ptr<SSL_CTX, Free>;
using Session = std::unique_ptr<SSL, Free>;

// Memory, and the two sockets.
Result<> give_up_everything() {
  if (geteuid() == 0) {
    if (setgroups(0, nullptr) != 0) return fail_errno("setgroups");
    if (setresgid(kNobody, kNobody, kNobody) != 0) return fail_errno("setresgid");
    if (setresuid(kNobody, kNobody, kNobody) != 0) return fail_errno("setresuid");
  }
  SyscallFilter filter;
  constexpr auto kCalls = std::to_array<uint32_t>({
      SYS_read,
      SYS_write,
      SYS_poll,
      SYS_brk,
      SYS_munmap,
      SYS_mremap,
      SYS_futex,
      SYS_getrandom,
      SYS_getpid,
      SYS_clock_gettime,
      SYS_exit_group,
      SYS_exit,
      SYS_rt_sigreturn,
      SYS_rt_sigprocmask,
      SYS_madvise,
      SYS_restart_syscall,
  });
  filter.allow(kCalls);
  constexpr unsigned kExecutable = 4;  // PROT_EXEC
  filter.allow_without(SYS_mmap, 2, kExecutable);
  filter.allow_without(SYS_mprotect, 2, kExecutable);
  return filter.install();
}

// Whole text: the other side takes it, or the probe's time ends this process.
bool send_plain(std::string_view text) {
  return write_all(kPlain, text, "stdin").has_value();
}

bool send_secret(SSL* session, std::string_view text) {
  return SSL_write(session, text.data(), static_cast<int>(text.size())) > 0;
}

// Until either side ends.
void carry(SSL* session) {
  std::array<char, 16384> buffer{};
  for (;;) {
    std::array<pollfd, 2> entries{{{.fd = kPlain, .events = POLLIN, .revents = 0},
                                   {.fd = kServer, .events = POLLIN, .revents = 0}}};
    const int patience = SSL_pending(session) > 0 ? 0 : -1;
    if (poll(entries.data(), entries.size(), patience) < 0) return;
    if (entries[0].revents != 0) {
      const ssize_t count = ::read(kPlain, buffer.data(), buffer.size());
      if (count <= 0 || !send_secret(session, {buffer.data(), static_cast<size_t>(count)})) return;
    }
    if (entries[1].revents == 0 && patience != 0) continue;
    const int count = SSL_read(session, buffer.data(), static_cast<int>(buffer.size()));
    if (count <= 0 || !send_plain({buffer.data(), static_cast<size_t>(count)})) return;
  }
}

Result<> run() {
  const int flags = fcntl(kServer, F_GETFL);
  if (flags < 0 || fcntl(kServer, F_SETFL, flags & ~O_NONBLOCK) != 0) return fail_errno("fcntl");
  const Context context(SSL_CTX_new(TLS_client_method()));
  if (!context) return fail(ErrorCode::kSystem, "SSL_CTX_new");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  const Session session(SSL_new(context.get()));
  if (!session || SSL_set_fd(session.get(), kServer) != 1) {
    return fail(ErrorCode::kSystem, "SSL_new");
  }
  TRY(give_up_everything());
  if (SSL_connect(session.get()) == 1) {
    carry(session.get());
  } else {
    // A socket that is closed with something unread is a reset to the other side.
    std::array<char, 16384> buffer{};
    (void)!::read(kPlain, buffer.data(), buffer.size());
  }
  return {};
}

}  // namespace

}  // namespace trivet::pod

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("trivet-probe-tls %s\n", TRIVET_VERSION);
    return 0;
  }
  const auto ended = trivet::pod::run();
  if (!ended) std::fprintf(stderr, "trivet-probe-tls: %s\n", ended.error().message().c_str());
  // Without OpenSSL's cleaning up, which has more calls than there are left.
  _exit(ended ? 0 : 1);
}
