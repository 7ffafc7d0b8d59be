// A data and a state directory that go with the test.
#pragma once

#include <stdlib.h>
#include <string>

#include "base/fs.h"
#include "runtime/home.h"

namespace trivet::runtime {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = "/tmp/trivet-test-runtime-XXXXXX";
    path_ = mkdtemp(pattern.data()) != nullptr ? pattern : std::string();
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { (void)remove_tree(AT_FDCWD, path_); }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline Home make_home(const TemporaryDirectory& directory) {
  return {.directories = {.data = directory / "data", .state = directory / "state"},
          .max_containers = 16,
          .store = *image::Store::open(directory / "data")};
}

// A container as far as names and volumes care.
inline void make_container(const Home& home, const monitor::Record& record) {
  (void)make_dirs(home.directories.container(record.id), 0700);
  (void)monitor::write_record(home.directories, record);
}

}  // namespace trivet::runtime
