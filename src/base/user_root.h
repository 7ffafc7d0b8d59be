// Root that is only root of a user namespace: what trivet is for an ordinary user.
#pragma once

namespace trivet {

// Set by a program that has made its user root of a user namespace: the user's id outside. It then
// decides about default_state_dir() and the like.
inline constexpr const char* kUsersRootVariable = "TRIVET_USERS_ROOT";

// Whether this process's user namespace has one id only, so that all files have one owner. See
// in_user_namespace() in process.h.
[[nodiscard]] bool has_one_id();

}  // namespace trivet
