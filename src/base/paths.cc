#include "base/paths.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <limits.h>
#include <unistd.h>

#include <fmt/core.h>

#include "base/process.h"

namespace trivet {

namespace {

std::string env_or(const char* name, const std::string& fallback) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value != nullptr && *value != '\0' ? value : fallback;
}

std::string home() {
  return env_or("HOME", "/");
}

// USER tells root of a system container, which is in a user namespace too (runc asks the same).
bool is_users_root() {
  return !env_or("XDG_RUNTIME_DIR", "").empty() && env_or("USER", "") != "root" &&
         in_user_namespace();
}

}  // namespace

std::string default_state_dir() {
  std::string runtime = env_or("XDG_RUNTIME_DIR", fmt::format("/tmp/trivet-{}", geteuid()));
  if (geteuid() == 0 && !is_users_root()) runtime = "/run";
  return env_or("TRIVET_STATE_DIR", runtime + "/trivet");
}

std::string default_data_dir() {
  const std::string data =
      geteuid() == 0 ? "/var/lib" : env_or("XDG_DATA_HOME", home() + "/.local/share");
  return env_or("TRIVET_DATA_DIR", data + "/trivet");
}

std::string default_config_dir() {
  return geteuid() == 0 ? "/etc/trivet"
                        : env_or("XDG_CONFIG_HOME", home() + "/.config") + "/trivet";
}

std::string find_companion(const std::string& program) {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  if (length <= 0) return {};
  std::string directory(buffer.data(), static_cast<size_t>(length));
  directory.resize(directory.find_last_of('/'));
  for (const char* place : {"/", "/../libexec/trivet/"}) {
    std::string candidate = directory + place + program;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

std::string normalized_path(std::string_view path) {
  std::string result;
  result.reserve(path.size() + 1);
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (part == "..") {
      result.resize(result.empty() ? 0 : result.rfind('/'));
    } else if (!part.empty() && part != ".") {
      result.append("/").append(part);
    }
  }
  return result.empty() ? "/" : result;
}

bool is_below(std::string_view path, std::string_view directory) {
  if (directory == "/") return path != "/";
  return path.size() > directory.size() && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

}  // namespace trivet
