// Inside of module backend: what does not exist is an empty result to those who only ask.
#pragma once

#include <optional>
#include <utility>

#include "trivet/result.h"

namespace trivet::backend {

inline bool is_absent(const Error& error) {
  return error.code() == ErrorCode::kNotFound;
}

// Nothing instead of kNotFound.
template <typename T>
Result<std::optional<T>> unless_absent(Result<T> result) {
  if (result) return std::optional<T>(std::move(*result));
  if (is_absent(result.error())) return std::optional<T>();
  return std::unexpected(std::move(result.error()));
}

// A member of what may be there.
template <typename T, typename Member>
Result<std::optional<Member>> member_of(Result<std::optional<T>> whole, Member T::* member) {
  if (!whole) return std::unexpected(std::move(whole.error()));
  if (!*whole) return std::optional<Member>();
  return std::optional<Member>(std::move((**whole).*member));
}

}  // namespace trivet::backend
