// Who we are to a registry: credentials from Docker's and Podman's files and helper programs, and
// the challenges of RFC 9110 section 11 and the token protocol of distribution
// (https://distribution.github.io/distribution/spec/auth/token/).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/http.h"

namespace trivet::image {

struct Credentials {
  std::string user;
  std::string password;
  std::string identity_token;  // instead of a password: an OAuth2 refresh token
  std::string registry_token;  // a bearer token to use as it is

  [[nodiscard]] bool empty() const {
    return user.empty() && password.empty() && identity_token.empty() && registry_token.empty();
  }
};

// "USER:PASSWORD"; the password may hold colons. kInvalidArgument otherwise.
Result<Credentials> parse_credentials(std::string_view text);

// The files to look in, in order. `auth_file` or $REGISTRY_AUTH_FILE is then the only one and must
// exist; otherwise Podman's auth.json and Docker's config.json, those that exist.
Result<std::vector<std::string>> find_auth_files(const std::string& auth_file);

// The entry for "REGISTRY/REPOSITORY" in one such file: credHelpers, then the longest of the keys
// REGISTRY/a/b, REGISTRY/a, REGISTRY in auths, then credsStore. Runs docker-credential-X.
Result<std::optional<Credentials>> find_in_auth_file(const std::string& path,
                                                     const std::string& registry,
                                                     const std::string& repository);

// The first entry in any of find_auth_files(); empty: anonymous.
Result<Credentials> find_credentials(const std::string& auth_file, const std::string& registry,
                                     const std::string& repository);

// One challenge of a WWW-Authenticate header; names of scheme and parameters in lower case.
struct Challenge {
  std::string scheme;
  std::map<std::string, std::string> parameters;
};
// What can't be understood is left out.
[[nodiscard]] std::vector<Challenge> parse_challenges(std::string_view header);

// Base64 of RFC 4648 section 4; nothing if it is none.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

// Gets a token for a bearer challenge from its realm; `scope` is used if the challenge names none.
// kUnauthorized when it is refused, kNetwork when trying again may help.
Result<Authorization> fetch_token(HttpClient& client, const Challenge& challenge,
                                  const std::string& scope, const Credentials& credentials);

}  // namespace trivet::image
