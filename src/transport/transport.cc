#include "trivet/transport.h"

namespace trivet {

namespace {

ByteSink collector(std::string& text, size_t limit, const char* name) {
  return [&text, limit, name](std::string_view bytes) -> Result<> {
    if (bytes.size() > limit - text.size()) {
      return fail(ErrorCode::kLimitExceeded, "the command prints more than {} bytes to {}", limit,
                  name);
    }
    text += bytes;
    return {};
  };
}

}  // namespace

Result<ExecResult> GuestTransport::run(const ExecCommand& command, std::string_view input) {
  ExecResult result;
  ExecStdio stdio{.stdout = collector(result.stdout, command.output_limit, "stdout"),
                  .stderr = collector(result.stderr, command.output_limit, "stderr")};
  if (!input.empty()) stdio.stdin = std::string(input);
  result.exit_code = TRY(exec(command, stdio));
  return result;
}

}  // namespace trivet
