#include "config/project.h"

#include <array>
#include <cstdlib>
#include <limits.h>
#include <sys/stat.h>
#include <vector>

#include "base/fs.h"
#include "base/text.h"

namespace trivet::config {

namespace {

std::string real_path(const std::string& path) {
  std::array<char, PATH_MAX> resolved{};
  return realpath(path.c_str(), resolved.data()) == nullptr ? "" : resolved.data();
}

std::string own_home() {
  const char* home = std::getenv("HOME");  // NOLINT(concurrency-mt-unsafe)
  return home == nullptr || *home != '/' ? "" : real_path(home);
}

bool is_there(const std::string& path) {
  struct stat status{};
  return lstat(path.c_str(), &status) == 0;
}

std::string parent_of(const std::string& directory) {
  const size_t slash = directory.rfind('/');
  return slash == 0 ? "/" : directory.substr(0, slash);
}

// `directory` and those above it, up to where the project ends.
std::vector<std::string> directories_of_project(const std::string& directory) {
  const std::string home = own_home();
  std::vector<std::string> all;
  for (std::string at = directory;; at = parent_of(at)) {
    all.push_back(at);
    if (at == home || is_there(at == "/" ? "/.git" : at + "/.git")) return all;
    if (at == "/") break;
  }
  return {directory};
}

}  // namespace

std::string find_project_file(const std::string& directory) {
  const std::string start = real_path(directory.empty() ? "." : directory);
  if (start.empty()) return {};
  for (const std::string& at : directories_of_project(start)) {
    std::string candidate = fmt::format("{}/{}", at == "/" ? "" : at, kProjectFile);
    if (is_there(candidate)) return candidate;
  }
  return {};
}

bool is_trivets(const yaml::Node& root) {
  for (const yaml::Node::Member& member : root.members) {
    if (member.name == "run" || member.name == "microvm") return true;
    if (!nearest_name(member.name, {"runtime"}).empty()) return true;
  }
  return false;
}

}  // namespace trivet::config
