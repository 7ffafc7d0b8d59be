#include "payload/microvm/kernel_store.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ranges>
#include <unistd.h>

#include <climits>

#include "base/rollback.h"
#include "base/sha256.h"
#include "base/text.h"
#include "payload/microvm/kernel_image.h"

namespace trivet::payload::microvm {

namespace {

constexpr size_t kIdDigits = 16;
constexpr size_t kMaxRecord = 1U << 20U;
constexpr const char* kPartPrefix = ".new-";

std::string kernels_directory(const std::string& vm_dir) {
  return vm_dir + "/kernels";
}

Json print_file(const StoredFile& file) {
  return {
      {"path", file.path}, {"digest", file.digest}, {"identity", print_identity(file.identity)}};
}

Result<StoredFile> parse_file(const JsonView& view) {
  StoredFile file;
  TRY(view.read("path", file.path));
  TRY(view.read("digest", file.digest));
  if (const auto identity = TRY(view.find("identity"))) {
    file.identity = TRY(parse_identity(*identity));
  }
  if (file.path.empty() || file.path.front() == '/' || file.path.find("..") != std::string::npos) {
    return fail(ErrorCode::kCorrupt, "{}: \"{}\" is no file of a kernel", view.path(), file.path);
  }
  return file;
}

// Writes through to the disk: after a power failure the identity must not vouch for empty blocks.
Result<StoredFile> write_file(const std::string& directory, const std::string& path,
                              std::string_view content) {
  TRY(replace_file(AT_FDCWD, directory + "/" + path, content, 0644, Durability::kDurable));
  const FileIdentity identity = TRY(identify_file(AT_FDCWD, directory + "/" + path));
  return StoredFile{.path = path, .digest = sha256_of(content), .identity = identity};
}

// A crash leaves unfinished directories, which nobody can be at work in while the lock is held.
Result<> remove_parts(const std::string& vm_dir) {
  const std::string directory = kernels_directory(vm_dir);
  for (const std::string& name : TRY(list_dir(AT_FDCWD, directory))) {
    if (name.starts_with(kPartPrefix)) TRY(remove_tree(AT_FDCWD, directory + "/" + name));
  }
  return {};
}

Result<Kernel> write_kernel(const std::string& directory, const KernelFiles& files) {
  TRY(make_dirs(directory + "/modules"));
  Kernel kernel{.release = files.release, .source = files.source, .acpi = files.acpi};
  kernel.vmlinux = TRY(write_file(directory, "vmlinux", files.vmlinux));
  kernel.id = kernel.vmlinux.digest.substr(0, kIdDigits);
  for (const auto& [name, object] : files.modules) {
    kernel.modules.push_back(
        TRY(write_file(directory, fmt::format("modules/{}.ko", name), object)));
  }
  TRY(replace_file(AT_FDCWD, directory + "/kernel.json", print_kernel(kernel), 0644,
                   Durability::kDurable));
  return kernel;
}

// The new one takes the place of the old one in one step: there is no moment without it.
Result<> publish(const std::string& part, const std::string& target) {
  if (renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno != EEXIST) return fail_errno("rename \"{}\" to \"{}\"", part, target);
  if (renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) != 0) {
    return fail_errno("exchange \"{}\" and \"{}\"", part, target);
  }
  return remove_tree(AT_FDCWD, part);
}

Result<> set_current(const std::string& vm_dir, const std::string& id) {
  const std::string link = vm_dir + "/current";
  const std::string part = fmt::format("{}{}", link, random_hex(8));
  const std::string target = "kernels/" + id;
  if (symlink(target.c_str(), part.c_str()) != 0) return fail_errno("symlink \"{}\"", part);
  if (rename(part.c_str(), link.c_str()) == 0) return {};
  const int errnum = errno;
  unlink(part.c_str());
  return std::unexpected(
      Error::from_errno(errnum, fmt::format("rename \"{}\" to \"{}\"", part, link)));
}

// The id that `current` leads to; empty when there is none.
std::string current_id(const std::string& vm_dir) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length = readlink((vm_dir + "/current").c_str(), target.data(), target.size() - 1);
  if (length <= 0) return {};
  const std::string path(target.data(), static_cast<size_t>(length));
  return path.substr(path.rfind('/') + 1);
}

Result<Kernel> read_kernel(const std::string& vm_dir, const std::string& id) {
  const std::string directory = fmt::format("{}/{}", kernels_directory(vm_dir), id);
  Kernel kernel = TRY(parse_kernel(TRY(read_file(directory + "/kernel.json", kMaxRecord))));
  kernel.id = id;
  kernel.directory = directory;
  return kernel;
}

Error no_kernel(std::string message) {
  return Error(ErrorCode::kUnsupported, std::move(message))
      .hint("`trivet vm setup` installs the kernel that microVMs are started with");
}

// Notes what the file is recognised by from now on. Without the right to write it is hashed again
// the next time.
Result<> record_identity(const Kernel& kernel, const std::string& path,
                         const FileIdentity& identity) {
  Kernel changed = kernel;
  if (changed.vmlinux.path == path) changed.vmlinux.identity = identity;
  for (StoredFile& module : changed.modules) {
    if (module.path == path) module.identity = identity;
  }
  const auto written =
      replace_file(AT_FDCWD, kernel.directory + "/kernel.json", print_kernel(changed));
  if (written || written.error().errnum() == EACCES || written.error().errnum() == EROFS) return {};
  return written;
}

Error not_recorded(const std::string& path) {
  return Error(ErrorCode::kDigestMismatch, fmt::format("\"{}\" is not what was installed", path))
      .hint("`trivet vm setup` installs it anew");
}

bool matches(const Kernel& kernel, std::string_view name) {
  return kernel.release == name || (!name.empty() && kernel.id.starts_with(name));
}

}  // namespace

std::string vm_directory(const std::string& data_dir) {
  const char* chosen = std::getenv("TRIVET_VM_DIR");  // NOLINT(concurrency-mt-unsafe)
  return chosen != nullptr && *chosen != '\0' ? chosen : data_dir + "/vm";
}

Result<FileLock> lock_vm_directory(const std::string& vm_dir) {
  TRY(make_dirs(kernels_directory(vm_dir)));
  TRY(require_own_directory(vm_dir));
  return FileLock::acquire(AT_FDCWD, vm_dir + "/lock");
}

Result<Kernel> add_kernel(const std::string& vm_dir, const KernelFiles& files) {
  const FileLock lock = TRY(lock_vm_directory(vm_dir));
  TRY(remove_parts(vm_dir));
  const std::string part =
      fmt::format("{}/{}{}", kernels_directory(vm_dir), kPartPrefix, random_hex(8));
  Rollback rollback;
  rollback.add([&part] { return remove_tree(AT_FDCWD, part); });
  auto kernel = write_kernel(part, files);
  if (!kernel) return std::unexpected(rollback.fail(std::move(kernel).error()));
  kernel->directory = fmt::format("{}/{}", kernels_directory(vm_dir), kernel->id);
  if (auto done = publish(part, kernel->directory); !done) {
    return std::unexpected(rollback.fail(std::move(done).error()));
  }
  rollback.commit();
  TRY(set_current(vm_dir, kernel->id));
  kernel->current = true;
  return kernel;
}

Result<std::vector<Kernel>> list_kernels(const std::string& vm_dir) {
  std::vector<Kernel> kernels;
  const auto names = list_dir(AT_FDCWD, kernels_directory(vm_dir));
  if (!names && names.error().errnum() == ENOENT) return kernels;
  if (!names) return std::unexpected(names.error());
  const std::string current = current_id(vm_dir);
  for (const std::string& name : *names) {
    if (name.starts_with('.')) continue;
    auto kernel = read_kernel(vm_dir, name);
    if (!kernel) continue;
    kernel->current = name == current;
    kernels.push_back(std::move(*kernel));
  }
  std::ranges::stable_partition(kernels, &Kernel::current);
  return kernels;
}

Result<Kernel> current_kernel(const std::string& vm_dir) {
  const std::string id = current_id(vm_dir);
  if (id.empty()) return std::unexpected(no_kernel("there is no guest kernel for microVMs"));
  auto kernel = read_kernel(vm_dir, id);
  if (!kernel) {
    return std::unexpected(
        no_kernel(fmt::format("the guest kernel is damaged: {}", kernel.error().message())));
  }
  kernel->current = true;
  return kernel;
}

Result<Kernel> find_kernel(const std::string& vm_dir, std::string_view name) {
  std::vector<Kernel> kernels = TRY(list_kernels(vm_dir));
  std::erase_if(kernels, [name](const Kernel& kernel) { return !matches(kernel, name); });
  if (kernels.empty()) {
    return std::unexpected(
        Error(ErrorCode::kNotFound, fmt::format("there is no guest kernel \"{}\"", name))
            .hint("`trivet vm ls` lists them"));
  }
  if (kernels.size() > 1) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" could be {} or {}", name, kernels[0].id,
                kernels[1].id);
  }
  return std::move(kernels.front());
}

Result<> remove_kernel(const std::string& vm_dir, const Kernel& kernel) {
  const FileLock lock = TRY(lock_vm_directory(vm_dir));
  const std::string grave =
      fmt::format("{}/{}{}", kernels_directory(vm_dir), kPartPrefix, random_hex(8));
  if (rename(kernel.directory.c_str(), grave.c_str()) != 0) {
    if (errno != ENOENT) return fail_errno("rename \"{}\" to \"{}\"", kernel.directory, grave);
  }
  if (current_id(vm_dir) == kernel.id) {
    std::vector<Kernel> others = TRY(list_kernels(vm_dir));
    const auto newest = std::ranges::max_element(
        others, {}, [](const Kernel& other) { return other.vmlinux.identity.ctime; });
    if (newest != others.end()) {
      TRY(set_current(vm_dir, newest->id));
    } else if (unlink((vm_dir + "/current").c_str()) != 0 && errno != ENOENT) {
      return fail_errno("remove \"{}/current\"", vm_dir);
    }
  }
  return remove_tree(AT_FDCWD, grave);
}

Result<> verify_file(const Kernel& kernel, const StoredFile& file) {
  const std::string path = fmt::format("{}/{}", kernel.directory, file.path);
  const FileIdentity now = TRY(identify_file(AT_FDCWD, path));
  if (now == file.identity) return {};
  const UniqueFd fd = TRY(open_file(path, O_RDONLY | O_NOFOLLOW));
  if (TRY(sha256_of_fd(fd.get(), path)) != file.digest) return std::unexpected(not_recorded(path));
  return record_identity(kernel, file.path, now);
}

Result<std::string> read_verified(const Kernel& kernel, const StoredFile& file) {
  const std::string path = fmt::format("{}/{}", kernel.directory, file.path);
  std::string content = TRY(read_file(path, kMaxKernelBytes));
  if (sha256_of(content) != file.digest) return std::unexpected(not_recorded(path));
  return content;
}

std::string print_kernel(const Kernel& kernel) {
  Json modules = Json::array();
  for (const StoredFile& module : kernel.modules) modules.push_back(print_file(module));
  return Json{{"release", kernel.release},
              {"source", kernel.source},
              {"acpi", kernel.acpi},
              {"vmlinux", print_file(kernel.vmlinux)},
              {"modules", modules}}
             .dump(1) +
         "\n";
}

Result<Kernel> parse_kernel(std::string_view text) {
  const Json json = TRY(parse_json(text, "kernel.json"));
  const JsonView view(json, "kernel.json");
  Kernel kernel;
  TRY(view.read("release", kernel.release));
  TRY(view.read("source", kernel.source));
  TRY(view.read("acpi", kernel.acpi));
  const auto vmlinux = TRY(view.find("vmlinux"));
  if (!vmlinux) return fail(ErrorCode::kCorrupt, "kernel.json: there is no vmlinux");
  kernel.vmlinux = TRY(parse_file(*vmlinux));
  if (const auto modules = TRY(view.find("modules"))) {
    for (const JsonView& module : TRY(modules->elements())) {
      kernel.modules.push_back(TRY(parse_file(module)));
    }
  }
  return kernel;
}

}  // namespace trivet::payload::microvm
