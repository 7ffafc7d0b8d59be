#include "image/wasm_layer.h"

#include <array>
#include <cctype>
#include <cstdlib>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_identity.h"
#include "base/fs.h"
#include "base/rollback.h"
#include "image/digest.h"
#include "image/import.h"
#include "image/unpack.h"
#include "oci/wasm_module.h"

namespace trivet::image {

Result<> make_code_directory(int layer_fd) {
  // 0711: a container's user has to reach the code by its name.
  if (mkdirat(layer_fd, oci::kLayerCodeDirectory, 0711) != 0 ||
      fchmodat(layer_fd, oci::kLayerCodeDirectory, 0711, 0) != 0) {
    return fail_errno("mkdir \"{}\"", oci::kLayerCodeDirectory);
  }
  return {};
}

Result<> copy_module(int blob_fd, int root_fd, uint64_t limit) {
  const std::string module = TRY(read_fd(blob_fd, "module", limit));
  if (!oci::is_wasm(module)) {
    return fail(ErrorCode::kCorrupt, "the layer is no WebAssembly module, though it says so");
  }
  const UniqueFd file = TRY(open_at(root_fd, kWasmModuleName, O_WRONLY | O_CREAT | O_EXCL, 0755));
  if (fchmod(file.get(), 0755) != 0) return fail_errno("chmod \"{}\"", kWasmModuleName);
  return write_all(file.get(), module, kWasmModuleName);
}

namespace {

// "My Tool.wasm" to "my-tool": what a reference's name may be.
std::string repository_name(std::string_view file) {
  std::string name;
  for (const char c : file.substr(0, file.find_last_of('.'))) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!name.empty() && name.back() != '-') {
      name += '-';
    }
  }
  while (!name.empty() && name.back() == '-') name.pop_back();
  return name.empty() ? "module" : name;
}

// The same module gives the same tar.
Result<> set_epoch(int fd, const char* name) {
  const std::array<timespec, 2> epoch{};
  if (utimensat(fd, name, epoch.data(), 0) != 0) return fail_errno("set the times of \"{}\"", name);
  return {};
}

Result<std::string> put_module_tree(const Store& store, const std::string& name,
                                    std::string_view module) {
  std::string place = "/tmp/trivet-module-XXXXXX";
  if (mkdtemp(place.data()) == nullptr) return fail_errno("mkdtemp \"{}\"", place);
  Rollback cleanup;
  cleanup.add([&place] { return remove_tree(AT_FDCWD, place); });
  const auto put = [&]() -> Result<std::string> {
    const UniqueFd directory = TRY(open_file(place, O_RDONLY | O_DIRECTORY));
    {
      const UniqueFd file = TRY(open_at(directory.get(), name, O_WRONLY | O_CREAT | O_EXCL, 0755));
      if (fchmod(file.get(), 0755) != 0) return fail_errno("chmod \"{}\"", name);
      TRY(write_all(file.get(), module, name));
    }
    if (fchmod(directory.get(), 0755) != 0) return fail_errno("chmod \"{}\"", place);
    TRY(set_epoch(directory.get(), name.c_str()));
    TRY(set_epoch(directory.get(), "."));
    return put_tree(store, directory.get());
  };
  return put();
}

// Which image a file was found to be, by the file's identity: a module that did not change is
// neither read nor hashed again. What is lost here is found out anew.
class KnownModules {
 public:
  KnownModules(const Store& store, std::string repository)
      : store_(store),
        directory_(store.data_dir() + "/modules"),
        prefix_(fmt::format("localhost/{}:", repository)) {}

  std::optional<Image> find(const std::string& identity) const {
    constexpr size_t kLimit = 4096;
    const auto reference = read_file(directory_ + "/" + identity, kLimit);
    if (!reference || !reference->starts_with(prefix_)) return std::nullopt;
    auto image = store_.find(*reference);
    if (!image) return std::nullopt;
    return std::move(*image);
  }

  void remember(const std::string& identity, const Reference& reference) const {
    constexpr size_t kMax = 4096;
    const auto known = list_dir(AT_FDCWD, directory_);
    if (known && known->size() >= kMax) (void)remove_tree(AT_FDCWD, directory_);
    if (!make_dirs(directory_, 0700)) return;
    (void)replace_file(AT_FDCWD, directory_ + "/" + identity, reference.canonical(), 0600);
  }

 private:
  const Store& store_;
  std::string directory_;
  std::string prefix_;
};

}  // namespace

Result<Image> import_module(const Store& store, const std::string& path) {
  const UniqueFd file = TRY(open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat status{};
  if (fstat(file.get(), &status) != 0) return fail_errno("stat \"{}\"", path);
  const std::string identity = file_identity(file.get(), status);
  const std::string name = path.substr(path.find_last_of('/') + 1);
  const KnownModules known(store, repository_name(name));
  if (auto image = known.find(identity)) return std::move(*image);

  const std::string module =
      TRY_IN(read_fd(file.get(), path, oci::kMaxWasmModuleBytes), "\"{}\"", path);
  constexpr size_t kTagDigits = 16;
  const Reference reference = TRY(parse_reference(fmt::format(
      "localhost/{}:{}", repository_name(name), hex_of(digest_of(module)).substr(0, kTagDigits))));
  if (has_settled(status)) known.remember(identity, reference);
  if (auto found = store.find(reference.canonical())) return found;
  const std::string layer = TRY(put_module_tree(store, name, module));
  oci::ImageConfig config{.platform = {.os = "wasi", .architecture = "wasm", .variant = ""},
                          .entrypoint = {"/" + name}};
  return import_rootfs_layer(store, layer, layer, reference, std::move(config));
}

}  // namespace trivet::image
