// Layers: unpacked into a directory of /dev/shm beside a witness that must stay as it is.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "image/unpack.h"

namespace {

using namespace trivet;

// The directory of this process; removed when it ends.
struct Place {
  std::string path = "/dev/shm/trivet-fuzz-layer-XXXXXX";
  Place() {
    if (mkdtemp(path.data()) == nullptr) abort();
    if (!replace_file(AT_FDCWD, path + "/witness", "untouched")) abort();
  }
  ~Place() { (void)remove_tree(AT_FDCWD, path); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
};

UniqueFd blob_of(std::string_view bytes) {
  UniqueFd fd(memfd_create("layer", MFD_CLOEXEC));
  if (!fd || !write_all(fd.get(), bytes, "layer")) abort();
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Place kPlace;
  const std::string root = kPlace.path + "/root";
  if (mkdir(root.c_str(), 0755) != 0) abort();
  {
    const UniqueFd blob = blob_of({reinterpret_cast<const char*>(data), size});
    const auto root_fd = open_file(root, O_RDONLY | O_DIRECTORY);
    if (!root_fd) abort();
    const image::Limits limits{.files_per_layer = 200, .rootfs_bytes = 4U << 20U};
    (void)image::unpack_as_layer(blob.get(), root_fd->get(), limits);
    (void)image::unpack_over(blob.get(), root_fd->get(), limits);
  }
  if (!remove_tree(AT_FDCWD, root)) abort();
  if (read_file(kPlace.path + "/witness").value_or("") != "untouched") abort();
  const auto names = list_dir(AT_FDCWD, kPlace.path);
  if (!names || names->size() != 1) abort();
  return 0;
}
