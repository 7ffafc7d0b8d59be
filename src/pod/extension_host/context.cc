#include "pod/extension_host/context.h"

#include <cstdio>

namespace trivet::pod {

namespace {

int complain(const Error& failure, char* error, size_t error_size) {
  (void)std::snprintf(error, error_size, "%s", failure.message().c_str());
  return 1;
}

Conversation& conversation_of(const trivet_extension_context* context) {
  return *static_cast<Conversation*>(context->host);
}

}  // namespace

ExtensionContext::ExtensionContext(ExtensionOrder start, Conversation& conversation)
    : start_(std::move(start)) {
  for (const std::string& name : start_.containers) containers_.push_back(name.c_str());
  containers_.push_back(nullptr);
  context_ = {.size = sizeof context_,
              .reserved = 0,
              .host = &conversation,
              .name = start_.name.c_str(),
              .settings = start_.settings.c_str(),
              .pod_id = start_.pod_id.c_str(),
              .pod_name = start_.pod_name.c_str(),
              .hostname = start_.hostname.c_str(),
              .containers = containers_.data(),
              .request_port = request_port,
              .numbers = numbers};
}

int ExtensionContext::request_port(const trivet_extension_context* context, const char* protocol,
                                   uint16_t host_port, uint16_t guest_port, uint16_t* given,
                                   char* error, size_t error_size) {
  const std::string name = protocol;
  if ((name != "tcp" && name != "udp") || guest_port == 0) {
    return complain(Error(ErrorCode::kInvalidArgument,
                          "a protocol is tcp or udp, and the guest's port is not 0"),
                    error, error_size);
  }
  const auto answer = conversation_of(context).ask({.type = ExtensionRequest::Type::kPort,
                                                    .protocol = name,
                                                    .host = host_port,
                                                    .guest = guest_port});
  if (!answer) return complain(answer.error(), error, error_size);
  *given = answer->port;
  return 0;
}

int ExtensionContext::numbers(const trivet_extension_context* context,
                              void (*each)(void* user, const trivet_extension_numbers* numbers),
                              void* user, char* error, size_t error_size) {
  const auto answer = conversation_of(context).ask({.type = ExtensionRequest::Type::kNumbers});
  if (!answer) return complain(answer.error(), error, error_size);
  for (const ContainerNumbers& container : answer->numbers) {
    const trivet_extension_numbers passed{.size = sizeof(trivet_extension_numbers),
                                          .running = container.running ? 1U : 0U,
                                          .name = container.name.c_str(),
                                          .restarts = static_cast<uint32_t>(container.restarts),
                                          .reserved = 0,
                                          .cpu_usage_ns = container.cpu_usage_ns,
                                          .memory_usage = container.memory_usage,
                                          .memory_limit = container.memory_limit,
                                          .pids = container.pids};
    each(user, &passed);
  }
  return 0;
}

}  // namespace trivet::pod
