// What the OpenSSH client is called with.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "trivet/transport.h"

namespace trivet::transport {

// kInvalidArgument for what ssh could take for something else, or that is missing.
Result<> check_options(const SshOptions& options);

enum class Terminal { kNo, kYes };

// The arguments, from the program's name to the text for the guest's shell. All is checked already.
// `log_file` receives what ssh has to say, but with a terminal, where it says so there.
[[nodiscard]] std::vector<std::string> ssh_argv(const SshOptions& options,
                                                const SshEndpoint& endpoint,
                                                const std::string& user, Terminal terminal,
                                                const std::string& log_file,
                                                const std::string& text);

}  // namespace trivet::transport
