#include "runtime/vm_package.h"

#include <array>
#include <filesystem>
#include <memory>

#include <archive.h>
#include <archive_entry.h>

#include "base/fs.h"
#include "payload/microvm/kernel_image.h"
#include "payload/microvm/kernel_modules.h"

namespace trivet::runtime {

namespace {

namespace microvm = payload::microvm;

constexpr size_t kBlock = 1U << 18U;
constexpr uint64_t kMaxModuleBytes = 64U << 20U;
// All modules of a distribution's kernel have a few hundred megabytes.
constexpr uint64_t kMaxPackageBytes = 4ULL << 30U;

struct FreeArchive {
  void operator()(archive* reader) const { archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, FreeArchive>;

Error archive_error(archive* reader, std::string_view name) {
  const char* why = archive_error_string(reader);
  return Error(ErrorCode::kCorrupt,
               fmt::format("read \"{}\": {}", name, why != nullptr ? why : "unknown error"));
}

// Up to `limit` bytes of the current entry.
Result<std::string> read_entry(archive* reader, uint64_t limit, std::string_view name) {
  std::string content;
  std::string block(kBlock, '\0');
  while (content.size() < limit) {
    const size_t wanted = std::min<uint64_t>(block.size(), limit - content.size());
    const la_ssize_t count = archive_read_data(reader, block.data(), wanted);
    if (count < 0) return std::unexpected(archive_error(reader, name));
    if (count == 0) break;
    content.append(block, 0, static_cast<size_t>(count));
  }
  return content;
}

// What `compressed` holds, at most `limit` bytes: bytes behind the end of the stream, as kernels
// have them, are not looked at.
Result<std::string> decompress(std::string_view compressed, uint64_t limit, std::string_view name) {
  const Reader reader(archive_read_new());
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_raw(reader.get());
  archive_entry* entry = nullptr;
  if (archive_read_open_memory(reader.get(), compressed.data(), compressed.size()) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK) {
    return std::unexpected(archive_error(reader.get(), name));
  }
  return read_entry(reader.get(), limit, name);
}

bool is_module(std::string_view path) {
  return path.ends_with(".ko") || path.find(".ko.") != std::string_view::npos;
}

Result<> add_module(const std::string& path, std::string content, KernelSource& source) {
  if (!path.ends_with(".ko")) content = TRY(decompress(content, kMaxModuleBytes, path));
  source.modules[microvm::module_name(path)] = std::move(content);
  return {};
}

// One file of the package, by its path in it.
Result<> take_file(archive* tar, const std::string& path, KernelSource& source) {
  const std::string name = path.substr(path.rfind('/') + 1);
  if (is_module(name)) {
    return add_module(path, TRY(read_entry(tar, kMaxModuleBytes, path)), source);
  }
  if (name.starts_with("vmlinuz-") || name.starts_with("vmlinux-")) {
    source.image = TRY(read_entry(tar, microvm::kMaxKernelBytes, path));
  } else if (name.starts_with("config-")) {
    source.config = TRY(read_entry(tar, kMaxModuleBytes, path));
  } else if (name == "modules.builtin") {
    source.built_in = microvm::parse_builtin_list(TRY(read_entry(tar, kMaxModuleBytes, path)));
  }
  return {};
}

Result<> read_tar(archive* tar, const std::string& package, KernelSource& source) {
  archive_entry* entry = nullptr;
  uint64_t total = 0;
  for (;;) {
    const int status = archive_read_next_header(tar, &entry);
    if (status == ARCHIVE_EOF) return {};
    if (status < ARCHIVE_WARN) return std::unexpected(archive_error(tar, package));
    const char* path = archive_entry_pathname(entry);
    if (path == nullptr || archive_entry_filetype(entry) != AE_IFREG) continue;
    total += static_cast<uint64_t>(archive_entry_size(entry));
    if (total > kMaxPackageBytes) {
      return fail(ErrorCode::kLimitExceeded, "\"{}\": it unpacks to too much", package);
    }
    TRY(take_file(tar, path, source));
  }
}

// The tar inside the package is read from the outer archive piece by piece.
struct Outer {
  archive* reader = nullptr;
  std::string block = std::string(kBlock, '\0');
};
la_ssize_t read_outer(archive* /*inner*/, void* data, const void** buffer) {
  auto* outer = static_cast<Outer*>(data);
  *buffer = outer->block.data();
  return archive_read_data(outer->reader, outer->block.data(), outer->block.size());
}

Result<> read_inner_tar(archive* package, const std::string& path, KernelSource& source) {
  Outer outer{.reader = package};
  const Reader tar(archive_read_new());
  archive_read_support_filter_all(tar.get());
  archive_read_support_format_tar(tar.get());
  if (archive_read_open(tar.get(), &outer, nullptr, read_outer, nullptr) != ARCHIVE_OK) {
    return std::unexpected(archive_error(tar.get(), path));
  }
  return read_tar(tar.get(), path, source);
}

// A kernel with everything built in that a guest can want: nothing else is known about a file.
std::set<std::string> all_built_in() {
  std::set<std::string> names;
  for (const microvm::WantedModule& module : microvm::wanted_modules()) names.insert(module.name);
  return names;
}

}  // namespace

Result<KernelSource> read_kernel_package(const std::string& path) {
  const Reader package(archive_read_new());
  archive_read_support_format_ar(package.get());
  if (archive_read_open_filename(package.get(), path.c_str(), kBlock) != ARCHIVE_OK) {
    return std::unexpected(archive_error(package.get(), path));
  }
  KernelSource source;
  archive_entry* entry = nullptr;
  while (archive_read_next_header(package.get(), &entry) == ARCHIVE_OK) {
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr || !std::string_view(name).starts_with("data.tar")) continue;
    TRY(read_inner_tar(package.get(), path, source));
  }
  if (source.image.empty()) return fail(ErrorCode::kCorrupt, "\"{}\" has no kernel", path);
  return source;
}

Result<> add_modules(const std::string& directory, KernelSource& source) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (fs::recursive_directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    const std::string path = at->path().string();
    if (is_module(path)) TRY(add_module(path, TRY(read_file(path, kMaxModuleBytes)), source));
  }
  if (error) {
    return std::unexpected(
        Error::from_errno(error.value(), fmt::format("read directory \"{}\"", directory)));
  }
  const std::string list = directory + "/modules.builtin";
  if (exists(list)) source.built_in = microvm::parse_builtin_list(TRY(read_file(list)));
  return {};
}

Result<std::string> extract_vmlinux(std::string_view image) {
  if (microvm::kernel_format(image) == microvm::KernelFormat::kVmlinux) return std::string(image);
  const microvm::Payload payload = TRY(microvm::find_payload(image));
  std::string vmlinux = TRY(decompress(payload.compressed, payload.size, "the compressed kernel"));
  if (vmlinux.size() != payload.size) {
    return fail(ErrorCode::kCorrupt, "the compressed kernel has {} bytes instead of {}",
                vmlinux.size(), payload.size);
  }
  return vmlinux;
}

Result<microvm::KernelFiles> choose_files(KernelSource source, const std::string& name) {
  microvm::KernelFiles files;
  files.source = name;
  files.vmlinux = TRY_IN(extract_vmlinux(source.image), "\"{}\"", name);
  files.release = TRY_IN(microvm::check_vmlinux(files.vmlinux), "\"{}\"", name);
  files.acpi = microvm::needs_acpi(files.vmlinux, source.config);
  if (source.modules.empty() && source.built_in.empty()) source.built_in = all_built_in();
  for (const std::string& module :
       TRY_IN(microvm::order_modules(source.modules, source.built_in), "\"{}\"", name)) {
    files.modules.emplace_back(module, microvm::strip_signature(source.modules[module]));
  }
  return files;
}

}  // namespace trivet::runtime
