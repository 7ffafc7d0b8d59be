// Names and ids of containers: made, claimed, looked up.
//
// A name is claimed by the symlink DATA/names/NAME to the id: symlinkat(2) fails when it is taken,
// so that two processes never get the same one.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/home.h"

namespace trivet::runtime {

// 1 to 128 bytes of [A-Za-z0-9_.-], starting with a letter or digit. kInvalidArgument.
Result<> check_name(std::string_view name);

// 64 hex digits.
[[nodiscard]] std::string make_id();
// "brave_heron".
[[nodiscard]] std::string make_name();

// The container that has the name; a claim whose container is gone is removed.
Result<std::optional<std::string>> owner_or_release(const Home& home, const std::string& name);
// kAlreadyExists names the holder. A claim whose container is gone is taken over.
Result<> claim_name(const Home& home, const std::string& name, const std::string& id);
// A made-up name that was free, claimed.
Result<std::string> claim_made_name(const Home& home, const std::string& id);

// The id behind a full id, a name, or a unique prefix of an id: looked up in that order. kNotFound
// with a hint, kInvalidArgument when a prefix is ambiguous.
Result<std::string> find_id(const Home& home, std::string_view name);

// Every container directory, half-made ones included.
Result<std::vector<std::string>> list_ids(const Home& home);

}  // namespace trivet::runtime
