#include "cdi/registry.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "yaml/reader.h"

namespace trivet::cdi {

namespace {

constexpr size_t kMaxFiles = 512;  // of one directory

// What a file says runs as root, so that nobody else may write it. A FIFO would block.
Result<> check_file(int fd, const std::string& path) {
  struct stat status{};
  if (fstat(fd, &status) != 0) return fail_errno("stat \"{}\"", path);
  if (!S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kInvalidArgument, "{}: it is no file", path);
  }
  if ((status.st_mode & S_IWOTH) == 0) return {};
  return std::unexpected(
      Error(ErrorCode::kPermissionDenied, fmt::format("{}: everybody may write it", path))
          .hint(fmt::format("chmod o-w {}", path)));
}

Result<Spec> read_spec(const std::string& path) {
  const UniqueFd fd = TRY(open_file(path, O_RDONLY | O_NONBLOCK));
  TRY(check_file(fd.get(), path));
  return parse_spec(TRY(read_fd(fd.get(), path, yaml::kMaxYamlBytes)), path);
}

bool is_spec_name(const std::string& name) {
  return name.ends_with(".json") || name.ends_with(".yaml");
}

Result<std::vector<std::string>> spec_files(const std::string& directory) {
  std::vector<std::string> names = TRY(list_dir(AT_FDCWD, directory));
  std::erase_if(names, [](const std::string& name) { return !is_spec_name(name); });
  if (names.size() <= kMaxFiles) return names;
  return fail(ErrorCode::kLimitExceeded, "\"{}\" has {} CDI files: {} are read at most", directory,
              names.size(), kMaxFiles);
}

}  // namespace

const std::vector<std::string>& default_directories() {
  static const std::vector<std::string> kDirectories = {"/etc/cdi", "/var/run/cdi"};
  return kDirectories;
}

bool Registry::has_kind(std::string_view kind) const {
  return std::ranges::find(specs, kind, &Spec::kind) != specs.end();
}

Registry load_registry(const std::vector<std::string>& directories) {
  std::vector<Spec> specs;
  std::vector<size_t> priorities;
  std::vector<Broken> broken;
  for (size_t i = 0; i < directories.size(); ++i) {
    const auto names = spec_files(directories[i]);
    if (!names) {
      if (names.error().code() != ErrorCode::kNotFound) {
        broken.push_back({directories[i], names.error()});
      }
      continue;
    }
    for (const std::string& name : *names) {
      const std::string path = fmt::format("{}/{}", directories[i], name);
      auto spec = read_spec(path);
      if (!spec) {
        broken.push_back({path, std::move(spec).error()});
        continue;
      }
      specs.push_back(std::move(*spec));
      priorities.push_back(i);
    }
  }
  Registry registry = merge_specs(std::move(specs), priorities);
  registry.directories = directories;
  registry.broken = std::move(broken);
  return registry;
}

Registry merge_specs(std::vector<Spec> specs, const std::vector<size_t>& priorities) {
  Registry registry;
  std::map<std::string, size_t> priority_of;
  for (size_t s = 0; s < specs.size(); ++s) {
    for (size_t d = 0; d < specs[s].devices.size(); ++d) {
      const std::string name = fmt::format("{}={}", specs[s].kind, specs[s].devices[d].name);
      const auto [known, is_new] = priority_of.emplace(name, priorities[s]);
      if (!is_new && priorities[s] < known->second) continue;
      if (is_new || priorities[s] > known->second) {
        known->second = priorities[s];
        registry.devices[name] = {s, d};
        registry.conflicts.erase(name);
        continue;
      }
      auto& files = registry.conflicts[name];
      if (files.empty()) files.push_back(specs[registry.devices[name].spec].file);
      files.push_back(specs[s].file);
    }
  }
  for (const auto& [name, files] : registry.conflicts) registry.devices.erase(name);
  registry.specs = std::move(specs);
  return registry;
}

}  // namespace trivet::cdi
