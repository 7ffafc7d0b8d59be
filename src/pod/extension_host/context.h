// What an extension library is given: the C context over a conversation.
#pragma once

#include <string>
#include <vector>

#include "pod/extension_host/conversation.h"
#include "pod/extension_message.h"
#include "trivet/extension.h"

namespace trivet::pod {

// Immovable: the C structure points into it.
class ExtensionContext {
 public:
  ExtensionContext(ExtensionOrder start, Conversation& conversation);
  ExtensionContext(const ExtensionContext&) = delete;
  ExtensionContext& operator=(const ExtensionContext&) = delete;
  ~ExtensionContext() = default;

  [[nodiscard]] const trivet_extension_context& get() const { return context_; }

 private:
  static int request_port(const trivet_extension_context* context, const char* protocol,
                          uint16_t host_port, uint16_t guest_port, uint16_t* given, char* error,
                          size_t error_size);
  static int numbers(const trivet_extension_context* context,
                     void (*each)(void* user, const trivet_extension_numbers* numbers), void* user,
                     char* error, size_t error_size);

  ExtensionOrder start_;
  std::vector<const char*> containers_;
  trivet_extension_context context_;
};

}  // namespace trivet::pod
