// Users and groups of a root file system by its own files (Docker's rules; image-spec: config.md,
// User).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "oci/spec.h"

namespace trivet::oci {

// Opens a file of the root to read, by its path; kNotFound when there is none.
using OpenInRoot = std::function<Result<UniqueFd>(const std::string& path)>;

// "USER", "UID", "USER:GROUP", "UID:GID" or "" (root), with the groups that list the user. `home`,
// if not null, receives the home directory. kInvalidArgument: nobody of that name.
Result<User> look_up_user(const OpenInRoot& open, std::string_view user, std::string* home);

}  // namespace trivet::oci
