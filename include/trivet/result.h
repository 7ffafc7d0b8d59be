// Result and Error: how every function of trivet that can fail says so.
//
// A function that can fail returns Result<T>. An Error carries a stable code (only codes that some
// caller branches on), the failing operation with its operands, the errno if a system call failed,
// a hint where a person can act, and notes about things that failed while cleaning up. Each layer
// adds one phrase in front with `in()`; only the command-line programs print.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "trivet/export.h"

namespace trivet {

// What kind of failure it is. `kSystem` and `kInternal` are the codes nobody branches on.
enum class ErrorCode {
  kSystem,                // a system call or an external program failed
  kInvalidArgument,       // the caller's input is wrong; nothing was done
  kNotFound,              // the named thing does not exist
  kAlreadyExists,         // the name is taken
  kWrongState,            // the thing exists but is in no state for this operation
  kLimitExceeded,         // a documented limit would be passed
  kUnsupported,           // this host, kernel or build can't do it
  kPermissionDenied,      // the host, or a registry, refuses
  kCommandNotFound,       // the container's program does not exist: exit code 127
  kCommandNotExecutable,  // the container's program can't be executed: exit code 126
  kDigestMismatch,        // content is not what its digest says
  kCorrupt,               // stored or received data is malformed
  kNetwork,               // a connection failed or broke; trying again may help
  kUnauthorized,          // credentials are missing or wrong
  kTimeout,               // a deadline passed
  kCanceled,              // the user asked to stop
};

// The stable, machine-readable name of a code, such as "not-found".
[[nodiscard]] TRIVET_API std::string_view error_code_name(ErrorCode code);

// A failure: what kind, what failed with what operands, and what helps. A plain value.
class [[nodiscard]] TRIVET_API Error {
 public:
  // `message` is one phrase without a capital, a full stop or a line end.
  Error(ErrorCode code, std::string message) : message_(std::move(message)), code_(code) {}

  // The failure of system call `operation` (with its operands), with `errnum` as its errno.
  static Error from_errno(int errnum, std::string operation);

  // Puts the phrase of an outer layer in front: "PHRASE: MESSAGE".
  Error in(std::string_view phrase) &&;
  // Says what a person can do about it. The innermost hint is kept.
  Error hint(std::string text) &&;
  // Adds what failed while undoing; it never replaces the cause.
  Error note(const Error& cleanup_failure) &&;
  // The same failure as another kind, where the caller knows better what it means.
  Error with_code(ErrorCode code) && {
    code_ = code;
    return std::move(*this);
  }

  // What kind of failure it is, to branch on.
  [[nodiscard]] ErrorCode code() const { return code_; }
  // The errno of the system call that failed; 0 if none did.
  [[nodiscard]] int errnum() const { return errnum_; }
  // What a person can do about it; empty: nothing is known.
  [[nodiscard]] const std::string& hint_text() const { return hint_; }
  // What failed while cleaning up after the failure, a line each.
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  // One line without the hint: `open "/x": No such file or directory [ENOENT]`.
  [[nodiscard]] const std::string& message() const { return message_; }

 private:
  std::string message_;
  std::string hint_;
  std::vector<std::string> notes_;
  ErrorCode code_;
  int errnum_ = 0;
};

// A value, or the Error in its place. Result<> is success without a value.
template <typename T = void>
using Result = std::expected<T, Error>;

// Builds an unexpected Error: `return fail(ErrorCode::kNotFound, "no container \"{}\"", name);`
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format,
                                          Args&&... args) {
  return std::unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

// The same for a failed system call; reads errno before anything else can change it:
// `return fail_errno("open \"{}\"", path);`
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(fmt::format_string<Args...> format,
                                                Args&&... args) {
  const int errnum = errno;
  return std::unexpected(
      Error::from_errno(errnum, fmt::format(format, std::forward<Args>(args)...)));
}

namespace detail {
template <typename T>
T take(std::expected<T, Error>&& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
}  // namespace detail

}  // namespace trivet

// Evaluates to the value of a Result, or returns its error from the calling function.
#define TRY(...) TRIVET_TRY_NAMED(TRIVET_CONCAT(try_result_, __COUNTER__), __VA_ARGS__)

// TRY that puts a phrase in front of the error: TRY_IN(parse(text), "config \"{}\"", path). The
// phrase is formatted only on failure.
#define TRY_IN(expression, ...) \
  TRIVET_TRY_IN_NAMED(TRIVET_CONCAT(try_result_, __COUNTER__), expression, __VA_ARGS__)

#define TRIVET_CONCAT(a, b) TRIVET_CONCAT_AGAIN(a, b)
#define TRIVET_CONCAT_AGAIN(a, b) a##b
// Numbered names: one TRY may stand inside another.
#define TRIVET_TRY_NAMED(name, ...)                    \
  __extension__({                                      \
    auto name = (__VA_ARGS__);                         \
    if (!name.has_value()) [[unlikely]]                \
      return std::unexpected(std::move(name).error()); \
    ::trivet::detail::take(std::move(name));           \
  })
#define TRIVET_TRY_IN_NAMED(name, expression, ...)                                  \
  __extension__({                                                                   \
    auto name = (expression);                                                       \
    if (!name.has_value()) [[unlikely]]                                             \
      return std::unexpected(std::move(name).error().in(fmt::format(__VA_ARGS__))); \
    ::trivet::detail::take(std::move(name));                                        \
  })
