#include "base/result.h"

#include <array>
#include <cstring>

namespace trivet {

namespace {
// strerror without locale and without a shared buffer.
std::string describe_errno(int errnum) {
  const char* text = strerrordesc_np(errnum);
  const char* name = strerrorname_np(errnum);
  if (text == nullptr || name == nullptr) return fmt::format("error {}", errnum);
  return fmt::format("{} [{}]", text, name);
}

ErrorCode code_for(int errnum) {
  switch (errnum) {
    case ENOENT:
      return ErrorCode::kNotFound;
    case EEXIST:
      return ErrorCode::kAlreadyExists;
    case EACCES:
    case EPERM:
      return ErrorCode::kPermissionDenied;
    default:
      return ErrorCode::kSystem;
  }
}
}  // namespace

std::string_view error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::kSystem:
      return "system";
    case ErrorCode::kInvalidArgument:
      return "invalid-argument";
    case ErrorCode::kNotFound:
      return "not-found";
    case ErrorCode::kAlreadyExists:
      return "already-exists";
    case ErrorCode::kWrongState:
      return "wrong-state";
    case ErrorCode::kLimitExceeded:
      return "limit-exceeded";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kPermissionDenied:
      return "permission-denied";
    case ErrorCode::kCommandNotFound:
      return "command-not-found";
    case ErrorCode::kCommandNotExecutable:
      return "command-not-executable";
    case ErrorCode::kDigestMismatch:
      return "digest-mismatch";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kNetwork:
      return "network";
    case ErrorCode::kUnauthorized:
      return "unauthorized";
    case ErrorCode::kTimeout:
      return "timeout";
    case ErrorCode::kCanceled:
      return "canceled";
  }
  return "system";
}

Error Error::from_errno(int errnum, std::string operation) {
  Error error(code_for(errnum), fmt::format("{}: {}", operation, describe_errno(errnum)));
  error.errnum_ = errnum;
  if (errnum == ENOSPC || errnum == EDQUOT) {
    error.hint_ = "the disk is full; free space with \"trivet prune\" or \"trivet image prune\"";
  }
  return error;
}

Error Error::in(std::string_view phrase) && {
  message_.insert(0, ": ");
  message_.insert(0, phrase);
  return std::move(*this);
}

Error Error::hint(std::string text) && {
  if (hint_.empty()) hint_ = std::move(text);
  return std::move(*this);
}

Error Error::note(const Error& cleanup_failure) && {
  notes_.push_back(cleanup_failure.message());
  return std::move(*this);
}

}  // namespace trivet
