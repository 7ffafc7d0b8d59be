#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <unistd.h>
#include <utility>

#include "base/fs.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "image/auth.h"

namespace trivet::image {

namespace {

constexpr size_t kAuthFileLimit = 1U << 20U;
// What Docker calls its Hub in config.json and to credential helpers.
constexpr std::string_view kDockerHubKey = "https://index.docker.io/v1/";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// "https://index.docker.io/v1/" is docker.io, "https://host/v2/" is host; Podman's "host/a/b"
// stays.
std::string normal_key(std::string_view key) {
  const bool is_url = key.find("://") != key.npos;
  if (is_url) key.remove_prefix(key.find("://") + 3);
  if (is_url || key.ends_with("/v1/") || key.ends_with("/v2/")) key = key.substr(0, key.find('/'));
  while (key.ends_with('/')) key.remove_suffix(1);
  if (key == "index.docker.io" || key == "registry-1.docker.io") return "docker.io";
  return std::string(key);
}

Result<Credentials> parse_entry(const JsonView& entry) {
  Credentials result;
  std::string encoded;
  TRY(entry.read("auth", encoded));
  TRY(entry.read("username", result.user));
  TRY(entry.read("password", result.password));
  TRY(entry.read("identitytoken", result.identity_token));
  TRY(entry.read("registrytoken", result.registry_token));
  if (encoded.empty()) return result;
  const auto decoded = decode_base64(encoded);
  const size_t colon = decoded ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "{}.auth is not base64 of USER:PASSWORD",
                entry.path());
  }
  result.user = decoded->substr(0, colon);
  result.password = decoded->substr(colon + 1);
  // Docker pads with zero bytes in old files.
  result.password.erase(std::min(result.password.find('\0'), result.password.size()));
  return result;
}

// Docker's protocol of credential helpers: the server on stdin, JSON on stdout.
Result<std::optional<Credentials>> ask_helper(const std::string& helper,
                                              const std::string& registry) {
  const bool plain = std::ranges::all_of(helper, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
  if (!plain || helper.empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no name of a credential helper", helper);
  }
  const std::string program = "docker-credential-" + helper;
  const std::string server = registry == "docker.io" ? std::string(kDockerHubKey) : registry;
  ProgramOptions options;
  options.stdin_text = server + "\n";
  const Output output = TRY_IN(run_program({program, "get"}, options), "credential helper");
  if (!output.ok()) {
    if (output.stdout_text.find("credentials not found") != std::string::npos) return std::nullopt;
    return fail(ErrorCode::kSystem, "{} get: exit code {}: {}", program, output.exit_code,
                trim(output.stderr_text.empty() ? output.stdout_text : output.stderr_text));
  }
  const Json document = TRY(parse_json(output.stdout_text, "the answer of " + program));
  const JsonView view(document, program);
  Credentials result;
  TRY(view.read("Username", result.user));
  TRY(view.read("Secret", result.password));
  if (result.user == "<token>") {
    result.user.clear();
    result.identity_token = std::exchange(result.password, {});
  }
  return result;
}

// The value of the member of `object` whose normal key is `wanted`.
Result<std::optional<JsonView>> find_key(const std::optional<JsonView>& object,
                                         const std::string& wanted) {
  if (!object) return std::nullopt;
  for (const auto& [key, value] : TRY(object->members())) {
    if (normal_key(key) == wanted) return value;
  }
  return std::nullopt;
}

// "REGISTRY/a/b", "REGISTRY/a", "REGISTRY".
std::vector<std::string> candidate_keys(const std::string& registry,
                                        const std::string& repository) {
  std::vector<std::string> result;
  for (std::string key = registry + "/" + repository; key.size() > registry.size();
       key.erase(key.rfind('/'))) {
    result.push_back(key);
  }
  result.push_back(registry);
  return result;
}

Result<std::optional<Credentials>> find_in_document(const JsonView& file,
                                                    const std::string& registry,
                                                    const std::string& repository) {
  const auto helpers = TRY(file.find("credHelpers"));
  if (const auto helper = TRY(find_key(helpers, registry))) {
    const std::string name = TRY(helper->as_string());
    return ask_helper(name, registry);
  }
  const auto auths = TRY(file.find("auths"));
  for (const std::string& key : candidate_keys(registry, repository)) {
    const auto entry = TRY(find_key(auths, key));
    if (!entry) continue;
    // `docker login` with a credsStore leaves an empty entry.
    if (Credentials found = TRY(parse_entry(*entry)); !found.empty()) return found;
  }
  std::string store;
  TRY(file.read("credsStore", store));
  if (store.empty()) return std::nullopt;
  return ask_helper(store, registry);
}

}  // namespace

Result<std::vector<std::string>> find_auth_files(const std::string& auth_file) {
  const std::string only = auth_file.empty() ? variable("REGISTRY_AUTH_FILE") : auth_file;
  if (!only.empty()) {
    if (!exists(only)) {
      return fail(ErrorCode::kNotFound, "the authentication file \"{}\" does not exist", only);
    }
    return std::vector{only};
  }
  std::vector<std::string> candidates;
  if (const std::string runtime = variable("XDG_RUNTIME_DIR"); !runtime.empty()) {
    candidates.push_back(runtime + "/containers/auth.json");
  }
  candidates.push_back(fmt::format("/run/containers/{}/auth.json", ::geteuid()));
  const std::string home = variable("HOME");
  const std::string docker = variable("DOCKER_CONFIG");
  if (!home.empty()) candidates.push_back(home + "/.config/containers/auth.json");
  if (!docker.empty()) candidates.push_back(docker + "/config.json");
  if (docker.empty() && !home.empty()) candidates.push_back(home + "/.docker/config.json");
  std::erase_if(candidates, [](const std::string& path) { return !exists(path); });
  return candidates;
}

Result<std::optional<Credentials>> find_in_auth_file(const std::string& path,
                                                     const std::string& registry,
                                                     const std::string& repository) {
  const std::string text = TRY(read_file(path, kAuthFileLimit));
  const Json document = TRY(parse_json(text, path));
  return TRY_IN(find_in_document(JsonView(document, path), registry, repository),
                "credentials for {}", registry);
}

Result<Credentials> find_credentials(const std::string& auth_file, const std::string& registry,
                                     const std::string& repository) {
  for (const std::string& path : TRY(find_auth_files(auth_file))) {
    auto found = TRY(find_in_auth_file(path, registry, repository));
    if (found && !found->empty()) return std::move(*found);
  }
  return Credentials{};
}

}  // namespace trivet::image
