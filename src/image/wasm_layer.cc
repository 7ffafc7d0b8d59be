#include "image/wasm_layer.h"

#include <array>
#include <cctype>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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

}  // namespace

Result<Image> import_module(const Store& store, const std::string& path) {
  const UniqueFd file = TRY(open_file(path, O_RDONLY | O_NONBLOCK));
  const std::string module =
      TRY_IN(read_fd(file.get(), path, oci::kMaxWasmModuleBytes), "\"{}\"", path);
  const std::string name = path.substr(path.find_last_of('/') + 1);
  constexpr size_t kTagDigits = 16;
  const Reference reference = TRY(parse_reference(fmt::format(
      "localhost/{}:{}", repository_name(name), hex_of(digest_of(module)).substr(0, kTagDigits))));
  if (auto known = store.find(reference.canonical())) return known;
  const std::string layer = TRY(put_module_tree(store, name, module));
  oci::ImageConfig config{.platform = {.os = "wasi", .architecture = "wasm", .variant = ""},
                          .entrypoint = {"/" + name}};
  return import_rootfs_layer(store, layer, layer, reference, std::move(config));
}

}  // namespace trivet::image
