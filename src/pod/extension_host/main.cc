// trivet-extension: runs one extension that is a shared library, and speaks for it the lines of an
// extension that is a program. Started in a pod's infra container, never by hand.
//
// Usage: trivet-extension LIBRARY
#include <array>
#include <cstdio>
#include <string>
#include <string_view>
#include <thread>
#include <unistd.h>

#include "base/fs.h"
#include "pod/extension_host/context.h"
#include "pod/extension_host/conversation.h"
#include "pod/extension_host/library.h"

namespace trivet::pod {

namespace {

uint32_t event_kind(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::kStarted:
      return TRIVET_EXTENSION_STARTED;
    case Event::Kind::kExited:
      return TRIVET_EXTENSION_EXITED;
    case Event::Kind::kHealthy:
      return TRIVET_EXTENSION_HEALTHY;
    case Event::Kind::kUnhealthy:
      return TRIVET_EXTENSION_UNHEALTHY;
    case Event::Kind::kStopping:
      return TRIVET_EXTENSION_STOPPING;
  }
  return TRIVET_EXTENSION_STOPPING;
}

// The lines go through a descriptor of their own: what the library prints does not mix with them.
Result<Conversation*> open_conversation() {
  UniqueFd output(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!output) return fail_errno("dup stdout");
  if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return fail_errno("dup2 stderr");
  UniqueFd input(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
  if (!input) return fail_errno("dup stdin");
  // For the process's life: threads of the library may use it to the last.
  return new Conversation(std::move(input), std::move(output));
}

Result<> start(const trivet_extension& extension, const trivet_extension_context& context) {
  std::array<char, 1024> error{};
  if (extension.on_start(extension.self, &context, error.data(), error.size()) == 0) return {};
  error.back() = '\0';
  return fail(ErrorCode::kWrongState, "{}: {}", extension.name(extension.self), error.data());
}

Result<> run(const std::string& library) {
  Conversation& conversation = *TRY(open_conversation());
  ExtensionOrder order = TRY(conversation.read_start());
  const trivet_extension* extension = TRY(load_extension(library));
  const auto* context = new ExtensionContext(std::move(order), conversation);
  std::thread([&conversation] { conversation.read_all(); }).detach();
  if (auto started = start(*extension, context->get()); !started) {
    return conversation.send(
        {.type = ExtensionRequest::Type::kFailed, .message = started.error().message()});
  }
  TRY(conversation.send({.type = ExtensionRequest::Type::kReady}));
  while (const auto event = conversation.next_event()) {
    const trivet_extension_event passed{.size = sizeof(trivet_extension_event),
                                        .kind = event_kind(event->kind),
                                        .container = event->container.c_str(),
                                        .exit_code = event->exit_code};
    extension->on_event(extension->self, &passed, &context->get());
  }
  extension->destroy(extension->self);
  return {};
}

}  // namespace

}  // namespace trivet::pod

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("trivet-extension %s\n", TRIVET_VERSION);
    return 0;
  }
  if (argc != 2) {
    std::fprintf(stderr, "usage: trivet-extension LIBRARY\n");
    return 2;
  }
  const auto ended = trivet::pod::run(argv[1]);
  if (!ended) std::fprintf(stderr, "trivet-extension: %s\n", ended.error().message().c_str());
  (void)std::fflush(nullptr);
  // Not by exit(3): threads of the library may still use what that destroys.
  _exit(ended ? 0 : 1);
}
