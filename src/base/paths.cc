#include "base/paths.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <limits.h>
#include <unistd.h>
#include <vector>

#include <fmt/core.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "base/user_root.h"

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
  if (!env_or(kUsersRootVariable, "").empty()) return in_user_namespace();
  return !env_or("XDG_RUNTIME_DIR", "").empty() && env_or("USER", "") != "root" &&
         in_user_namespace();
}

bool is_hosts_root() {
  return geteuid() == 0 && !is_users_root();
}

// Where the running program's file is, with the slash.
std::string program_directory() {
  std::array<char, PATH_MAX> buffer{};
  const ssize_t length = readlink("/proc/self/exe", buffer.data(), buffer.size() - 1);
  if (length <= 0) return {};
  const std::string_view path(buffer.data(), static_cast<size_t>(length));
  return std::string(path.substr(0, path.find_last_of('/') + 1));
}

// Where libtrivet.so is, with the slash; in a program that has this code in itself, the program's
// directory. A line of maps is `BEGIN-END rwxp OFFSET DEVICE INODE PATH`.
std::string library_directory() {
  const auto self = reinterpret_cast<uintptr_t>(&program_directory);
  const auto maps = read_file("/proc/self/maps");
  for (const std::string& line : maps ? split(*maps, '\n') : std::vector<std::string>()) {
    char* rest = nullptr;
    const uintptr_t begin = std::strtoull(line.c_str(), &rest, 16);
    if (self < begin || *rest != '-' || self >= std::strtoull(rest + 1, nullptr, 16)) continue;
    const size_t path = line.find('/');
    if (path == std::string::npos) return {};
    return line.substr(path, line.find_last_of('/') + 1 - path);
  }
  return {};
}

std::string find_in(const std::vector<std::string>& directories, const std::string& program) {
  for (const std::string& directory : directories) {
    std::string candidate = directory + program;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

// Of the program itself, so that a build is not mixed with what is installed.
std::string find_near(const std::string& program) {
  const std::string directory = program_directory();
  if (directory.empty()) return {};
  return find_in({directory, directory + "../libexec/trivet/"}, program);
}

// For programs of others. A library lies one directory deeper where several architectures share a
// prefix.
std::string find_far(const std::string& program) {
  std::vector<std::string> directories;
  if (const std::string library = library_directory(); !library.empty()) {
    directories = {library + "../libexec/trivet/", library + "../../libexec/trivet/"};
  }
#ifdef TRIVET_INSTALLED_LIBEXEC  // not in programs that compile this file apart
  directories.emplace_back(TRIVET_INSTALLED_LIBEXEC "/");
#endif
  directories.emplace_back("/usr/local/libexec/trivet/");
  directories.emplace_back("/usr/libexec/trivet/");
  return find_in(directories, program);
}

}  // namespace

std::string default_state_dir() {
  const std::string user = env_or(kUsersRootVariable, fmt::format("{}", geteuid()));
  const std::string runtime =
      is_hosts_root() ? "/run" : env_or("XDG_RUNTIME_DIR", "/tmp/trivet-" + user);
  return env_or("TRIVET_STATE_DIR", runtime + "/trivet");
}

std::string default_data_dir() {
  const std::string data =
      is_hosts_root() ? "/var/lib" : env_or("XDG_DATA_HOME", home() + "/.local/share");
  return env_or("TRIVET_DATA_DIR", data + "/trivet");
}

std::string default_config_dir() {
  return is_hosts_root() ? "/etc/trivet"
                         : env_or("XDG_CONFIG_HOME", home() + "/.config") + "/trivet";
}

std::string find_companion(const std::string& program) {
  const std::string chosen = env_or("TRIVET_LIBEXEC_DIR", "");
  if (!chosen.empty()) return find_in({chosen + "/"}, program);
  std::string found = find_near(program);
  return found.empty() ? find_far(program) : found;
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
