// trivet-dns: the extension that serves a pod's names; see docs/extensions.md. It speaks the lines
// of an extension on stdin and stdout. Its settings are the servers for other names, or nothing:
// then they are those of /etc/resolv.conf.
#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string_view>
#include <unistd.h>

#include "base/fs.h"
#include "pod/dns/server.h"
#include "pod/extension_message.h"
#include "pod/infra.h"
#include "pod/line_buffer.h"

namespace trivet::dns {

namespace {

using pod::ExtensionOrder;
using pod::ExtensionRequest;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

class Program {
 public:
  explicit Program(EventLoop& loop) : loop_(loop) {}

  Result<> run() {
    TRY(loop_.watch(STDIN_FILENO, EPOLLIN, [this](uint32_t) {
      if (!read_some()) loop_.stop();
    }));
    return loop_.run();
  }

 private:
  Result<> read_some() {
    std::array<char, 4096> buffer{};
    const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count <= 0) return fail(ErrorCode::kNetwork, "the engine has closed the conversation");
    TRY(lines_.feed({buffer.data(), static_cast<size_t>(count)}));
    while (const auto line = TRY(lines_.next())) {
      const ExtensionOrder order = TRY(pod::parse_order(*line));
      if (order.type == ExtensionOrder::Type::kStart) TRY(answer(start(order)));
    }
    return {};
  }

  Result<> start(const ExtensionOrder& order) {
    ServerOptions options;
    options.upstreams = TRY_IN(parse_upstreams(order.settings), "settings");
    if (order.settings.empty()) {
      constexpr size_t kMaxFile = 65536;
      options.upstreams = find_upstreams(TRY(read_file("/etc/resolv.conf", kMaxFile)));
    }
    // It would ask itself.
    std::erase_if(options.upstreams,
                  [](const Upstream& upstream) { return upstream.name == pod::kDiscoveryAddress; });
    for (const std::string& name : order.containers) options.names.insert(lower(name));
    if (!order.hostname.empty()) options.names.insert(lower(order.hostname));
    server_ = TRY(Server::create(loop_, std::move(options)));
    return {};
  }

  static Result<> answer(const Result<>& started) {
    ExtensionRequest request;
    if (!started) {
      request = {.type = ExtensionRequest::Type::kFailed, .message = started.error().message()};
    }
    return write_all(STDOUT_FILENO, pod::print_request(request) + "\n", "stdout");
  }

  EventLoop& loop_;
  pod::LineBuffer lines_{pod::kMaxExtensionLine};
  std::unique_ptr<Server> server_;
};

Result<> run() {
  EventLoop loop = TRY(EventLoop::create());
  Program program(loop);
  return program.run();
}

}  // namespace

}  // namespace trivet::dns

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("trivet-dns %s\n", TRIVET_VERSION);
    return 0;
  }
  const auto ended = trivet::dns::run();
  if (!ended) std::fprintf(stderr, "trivet-dns: %s\n", ended.error().message().c_str());
  return ended ? 0 : 1;
}
