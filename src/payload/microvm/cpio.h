// A writer of cpio archives in the "newc" format, which is what the kernel unpacks as initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst). Pure: the same entries give the
// same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trivet::payload::microvm {

class CpioWriter {
 public:
  // `path` is relative to the root. Everything belongs to root and has no time.
  void add_directory(std::string_view path);
  enum class Access { kData, kProgram };  // 0644, 0755
  void add_file(std::string_view path, std::string_view content, Access access);
  // The whole archive with its end mark. The object is used up.
  [[nodiscard]] std::string finish();

 private:
  void add_entry(uint32_t mode, uint32_t links, std::string_view path, std::string_view content);

  std::string archive_;
  uint32_t next_inode_ = 1;
};

}  // namespace trivet::payload::microvm
