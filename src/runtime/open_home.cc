#include "runtime/open_home.h"

#include <filesystem>

#include "base/paths.h"
#include "pod/remove.h"
#include "runtime/mount_request.h"

namespace trivet::runtime {

namespace {

// Relative directories are meant from where the caller is now; companions start elsewhere.
Result<std::string> choose_directory(const std::string& given, const std::string& standard) {
  const std::string& path = given.empty() ? standard : given;
  if (path.front() == '/') return normal_path(path);
  std::error_code error;
  const auto current = std::filesystem::current_path(error);
  return normal_path((current / path).string());
}

image::Limits limits_of(const ImageLimits& images) {
  image::Limits limits;
  limits.rootfs_bytes = static_cast<uint64_t>(images.size);
  limits.layers = static_cast<size_t>(images.layers);
  limits.layer_bytes = static_cast<uint64_t>(images.layer_size);
  limits.files_per_layer = static_cast<uint64_t>(images.layer_files);
  return limits;
}

}  // namespace

Result<Home> open_home(const EngineOptions& options) {
  monitor::Directories directories;
  directories.data = TRY(choose_directory(options.data_dir, default_data_dir()));
  directories.state = TRY(choose_directory(options.state_dir, default_state_dir()));
  // What can't be finished is no reason to refuse everything: list_pods() says so.
  (void)pod::recover_pods(directories);
  auto store = TRY(image::Store::open(directories.data, limits_of(options.images)));
  return Home{.directories = std::move(directories),
              .max_containers = options.max_containers,
              .registries = options.registries,
              .store = std::move(store),
              .spare = options.spare};
}

}  // namespace trivet::runtime
