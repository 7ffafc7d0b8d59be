#include "monitor/pool_member.h"

#include <fcntl.h>

#include "base/fs.h"

namespace trivet::monitor {

namespace {

std::string file_of(const Directories& directories, const std::string& id) {
  return directories.container(id) + "/pool";
}

}  // namespace

Result<> write_pool_of(const Directories& directories, const std::string& id,
                       const std::string& pool) {
  return replace_file(AT_FDCWD, file_of(directories, id), pool, 0600);
}

Result<std::string> read_pool_of(const Directories& directories, const std::string& id) {
  auto name = read_file(file_of(directories, id), 4096);
  if (!name && name.error().errnum() == ENOENT) return std::string();
  return name;
}

}  // namespace trivet::monitor
