#include "payload/microvm/cpio.h"

#include <sys/stat.h>

#include <fmt/core.h>

namespace trivet::payload::microvm {

namespace {

constexpr size_t kAlignment = 4;

void pad(std::string& archive) {
  archive.resize((archive.size() + kAlignment - 1) / kAlignment * kAlignment, '\0');
}

}  // namespace

void CpioWriter::add_entry(uint32_t mode, uint32_t links, std::string_view path,
                           std::string_view content) {
  // magic, inode, mode, uid, gid, links, mtime, size, device, special device, name's size, checksum
  archive_ += fmt::format(
      "070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}",
      next_inode_++, mode, 0, 0, links, 0, content.size(), 0, 0, 0, 0, path.size() + 1, 0);
  archive_ += path;
  archive_ += '\0';
  pad(archive_);
  archive_ += content;
  pad(archive_);
}

void CpioWriter::add_directory(std::string_view path) {
  add_entry(S_IFDIR | 0755U, 2, path, {});
}

void CpioWriter::add_file(std::string_view path, std::string_view content, Access access) {
  add_entry(S_IFREG | (access == Access::kProgram ? 0755U : 0644U), 1, path, content);
}

std::string CpioWriter::finish() {
  next_inode_ = 0;
  add_entry(0, 1, "TRAILER!!!", {});
  return std::move(archive_);
}

}  // namespace trivet::payload::microvm
