#include "payload/microvm/scratch_disk.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/text.h"
#include "payload/microvm/file_identity.h"
#include "payload/microvm/host_tools.h"
#include <linux/fs.h>

namespace trivet::payload::microvm {

namespace {

// Goes up when the options of mke2fs change.
constexpr int kFormat = 1;
constexpr uint64_t kBlock = 4096;

// Without checksums of metadata, which cost time where the processor is emulated, and without space
// for growing. A small journal: the disk is thrown away with its container, but survives a restart.
std::vector<std::string> mke2fs_command(const std::string& path, uint64_t bytes) {
  const bool large = bytes >= (1ULL << 30U);
  return {"mke2fs", "-q", "-F", "-t", "ext4", "-b", fmt::format("{}", kBlock), "-m", "0", "-I",
          "256", "-J", large ? "size=16" : "size=4", "-O", "^metadata_csum,^resize_inode,uninit_bg",
          // Nothing has to be zeroed in a file that is new, neither now nor by the guest's kernel.
          "-E", "assume_storage_prezeroed=1,nodiscard,root_owner=0:0", "-L", "trivet", path,
          fmt::format("{}k", bytes / 1024)};
}

std::string template_path(const std::string& vm_dir, uint64_t bytes) {
  return fmt::format("{}/scratch/{}-{}.ext4", vm_dir, bytes, kFormat);
}

Result<> make_template(const std::string& vm_dir, uint64_t bytes) {
  const std::string directory = vm_dir + "/scratch";
  const std::string path = template_path(vm_dir, bytes);
  TRY(make_dirs(directory));
  TRY(require_own_directory(directory));
  const FileLock lock = TRY(FileLock::acquire(AT_FDCWD, directory + "/lock"));
  if (exists(path)) return {};
  // What a crash has left has the same name, and is replaced.
  const std::string part = path + ".part";
  TRY(remove_tree(AT_FDCWD, part));
  Rollback rollback;
  rollback.add([&part] { return remove_tree(AT_FDCWD, part); });
  TRY(run_tool({.argv = mke2fs_command(part, bytes), .package = "e2fsprogs"}));
  const UniqueFd fd = TRY(open_file(part, O_RDONLY));
  if (fsync(fd.get()) != 0) return fail_errno("fsync \"{}\"", part);
  if (rename(part.c_str(), path.c_str()) != 0) {
    return fail_errno("rename \"{}\" to \"{}\"", part, path);
  }
  rollback.commit();
  return {};
}

// Between file systems of different kinds, which the kernel does not copy across.
Result<> copy_bytes(int from, int to, off_t begin, off_t end) {
  std::array<char, 65536> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  for (off_t at = begin; at < end;) {
    const auto wanted = std::min<size_t>(buffer.size(), static_cast<size_t>(end - at));
    const ssize_t count = pread(from, buffer.data(), wanted, at);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read the empty disk");
    if (count == 0) return fail(ErrorCode::kCorrupt, "copy the empty disk: it is cut off");
    for (ssize_t done = 0; done < count;) {
      const ssize_t written =
          pwrite(to, buffer.data() + done, static_cast<size_t>(count - done), at + done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail_errno("write the empty disk");
      done += written;
    }
    at += count;
  }
  return {};
}

Result<> copy_range(int from, int to, off_t begin, off_t end) {
  off_t in = begin;
  off_t out = begin;
  while (in < end) {
    const ssize_t count = copy_file_range(from, &in, to, &out, static_cast<size_t>(end - in), 0);
    if (count > 0) continue;
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return fail(ErrorCode::kCorrupt, "copy the empty disk: it is cut off");
    if (errno == EXDEV) return copy_bytes(from, to, in, end);
    return fail_errno("copy the empty disk");
  }
  return {};
}

// Only what holds data; the rest stays a hole.
Result<> copy_sparse(int from, int to, off_t size) {
  if (ftruncate(to, size) != 0) return fail_errno("ftruncate to {}", size);
  if (ioctl(to, FICLONE, from) == 0) return {};
  for (off_t at = 0; at < size;) {
    const off_t begin = lseek(from, at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return {};
    if (begin < 0) return fail_errno("seek data");
    const off_t end = lseek(from, begin, SEEK_HOLE);
    if (end < 0) return fail_errno("seek a hole");
    TRY(copy_range(from, to, begin, end));
    at = end;
  }
  return {};
}

// Nothing is left on failure.
Result<UniqueFd> copy_to(int from, off_t size, const std::string& path) {
  auto to = open_file(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!to && to.error().errnum() == EEXIST) {
    return std::unexpected(std::move(to).error().with_code(ErrorCode::kAlreadyExists));
  }
  if (!to) return to;
  if (auto copied = copy_sparse(from, to->get(), size); !copied) {
    unlink(path.c_str());
    return std::unexpected(std::move(copied).error());
  }
  return to;
}

Result<UniqueFd> copy_template(const std::string& vm_dir, uint64_t bytes, const std::string& path) {
  const std::string from_path = template_path(vm_dir, bytes);
  auto from = open_file(from_path, O_RDONLY | O_NOFOLLOW);
  if (!from && from.error().errnum() == ENOENT) {
    TRY(make_template(vm_dir, bytes));
    from = open_file(from_path, O_RDONLY | O_NOFOLLOW);
  }
  if (!from) return std::unexpected(std::move(from).error());
  struct stat status{};
  if (fstat(from->get(), &status) != 0) return fail_errno("stat \"{}\"", from_path);
  if (static_cast<uint64_t>(status.st_size) != bytes) {
    return std::unexpected(
        Error(ErrorCode::kCorrupt, fmt::format("\"{}\" has {} bytes", from_path, status.st_size))
            .hint("remove it: it is made again"));
  }
  return copy_to(from->get(), status.st_size, path);
}

Result<UniqueFd> explained(Result<UniqueFd> made, const std::string& path) {
  if (made) return made;
  return std::unexpected(
      explain_disk_error(std::move(made).error(), path.substr(0, path.rfind('/') + 1))
          .in("cannot make the machine's disk"));
}

}  // namespace

Result<UniqueFd> make_scratch_disk(const std::string& vm_dir, uint64_t bytes,
                                   const std::string& path) {
  if (bytes < kMinScratchBytes || bytes > kMaxScratchBytes) {
    return fail(ErrorCode::kInvalidArgument, "a disk of {}: it may have from {} to {}",
                format_size(bytes), format_size(kMinScratchBytes), format_size(kMaxScratchBytes));
  }
  return explained(copy_template(vm_dir, (bytes + kBlock - 1) / kBlock * kBlock, path), path);
}

Result<UniqueFd> copy_scratch_disk(int from, const std::string& path) {
  struct stat status{};
  if (fstat(from, &status) != 0) return fail_errno("stat a template's disk");
  return explained(copy_to(from, status.st_size, path), path);
}

}  // namespace trivet::payload::microvm
