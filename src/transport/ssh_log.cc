#include "transport/ssh_log.h"

#include <array>
#include <string>

#include "base/printable.h"
#include "base/text.h"

namespace trivet::transport {

namespace {

struct Reason {
  std::string_view text;
  ErrorCode code;
  std::string_view hint;
};

// Texts of OpenSSH that callers want to tell apart; the first one that is found.
constexpr std::array kReasons{
    Reason{"Host key verification failed", ErrorCode::kPermissionDenied,
           "the server's key is not the one in the file of known hosts: is that the guest that you "
           "mean, or has it a new key?"},
    Reason{"bad permissions", ErrorCode::kUnauthorized,
           "ssh takes no key that others can read: chmod 600 the identity file"},
    Reason{"Permission denied", ErrorCode::kUnauthorized,
           "is the public key in the authorized_keys of that user, in the guest?"},
    Reason{"Too many authentication failures", ErrorCode::kUnauthorized, ""},
    Reason{"Connection refused", ErrorCode::kNetwork,
           "does the guest run, with an SSH server, and is its port published?"},
    Reason{"Connection timed out", ErrorCode::kNetwork,
           "does the guest run, with an SSH server, and is its port published?"},
    Reason{"timed out", ErrorCode::kNetwork, "the guest may be busy or hang"},
};

// Of no failure, but without "debug1: ".
bool is_chatter(std::string_view line) {
  for (const std::string_view start : {"debug1: ", "Authenticated to ", "Transferred: ",
                                       "Bytes per second: ", "Warning: ", "OpenSSH_", "@@@"}) {
    if (line.starts_with(start)) return true;
  }
  return line.empty();
}

}  // namespace

bool status_arrived(std::string_view log) {
  constexpr std::string_view kLine = "debug1: Exit status ";
  const size_t at = log.rfind(kLine);
  // -1 is what it says when there was none.
  return at != std::string_view::npos && (at == 0 || log[at - 1] == '\n') &&
         !log.substr(at + kLine.size()).starts_with('-');
}

Error connection_error(std::string_view log) {
  std::string said;
  for (const std::string& line : split(log, '\n')) {
    if (const auto text = trim(line); !is_chatter(text)) said = printable(text);
  }
  if (said.empty()) said = "ssh has ended and did not say why";
  if (said.starts_with("ssh: ")) said.erase(0, 5);
  for (const Reason& reason : kReasons) {
    if (log.find(reason.text) == std::string_view::npos) continue;
    return Error(reason.code, said).hint(std::string(reason.hint));
  }
  return {ErrorCode::kNetwork, said};
}

}  // namespace trivet::transport
