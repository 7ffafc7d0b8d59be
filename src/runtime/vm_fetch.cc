#include "runtime/vm_fetch.h"

#include <array>
#include <cstdlib>
#include <filesystem>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/text.h"
#include "payload/microvm/kernel_image.h"
#include "runtime/vm_package.h"

namespace trivet::runtime {

namespace {

using payload::microvm::Kernel;
using payload::microvm::KernelFiles;

// Debian's kernel for virtual machines: small, and with all that a guest needs.
constexpr const char* kDefaultPackage = "linux-image-cloud-amd64";
constexpr const char* kKernelPrefix = "linux-image-";
constexpr const char* kBuildScript = "build-guest-kernel";
constexpr std::chrono::minutes kDownloadTimeout{15};
constexpr std::chrono::hours kBuildTimeout{4};

// Removed with all that is in it.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> make() {
    std::error_code error;
    std::string path = std::filesystem::temp_directory_path(error).string() + "/trivet-vm-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return fail_errno("mkdtemp \"{}\"", path);
    return TemporaryDirectory(std::move(path));
  }
  TemporaryDirectory(TemporaryDirectory&& other) noexcept
      : path_(std::exchange(other.path_, std::string())) {}
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    if (!path_.empty()) (void)remove_tree(AT_FDCWD, path_);
  }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

void tell(const VmSetupOptions& options, const std::string& text) {
  if (options.progress) options.progress(text);
}

std::string last_line(std::string_view text) {
  const std::vector<std::string> lines = split(trim(text), '\n');
  return lines.empty() ? std::string() : lines.back();
}

Result<std::string> run_apt(const std::vector<std::string>& argv) {
  const auto output = run_program(argv, {.timeout = kDownloadTimeout});
  if (!output && output.error().code() == ErrorCode::kCommandNotFound) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "this is no Debian system: there is no apt-get")
            .hint("`trivet vm setup --kernel FILE` takes a kernel from anywhere"));
  }
  if (!output) return std::unexpected(output.error());
  if (output->ok()) return output->stdout_text;
  return std::unexpected(Error(ErrorCode::kNetwork, last_line(output->stderr_text))
                             .hint("`apt-get update` brings the package lists up to date"));
}

// A package such as linux-image-cloud-amd64 is empty and depends on the kernel of the day.
Result<std::string> resolve_package(const std::string& name) {
  const std::string text = TRY(run_apt({"apt-cache", "depends", name}));
  constexpr std::string_view kDepends = "Depends: ";
  for (const std::string& line : split(text, '\n')) {
    const std::string_view words = trim(line);
    if (!words.starts_with(kDepends)) continue;
    const std::string_view needed = words.substr(kDepends.size());
    if (needed.starts_with(kKernelPrefix)) return std::string(needed);
  }
  return name;
}

Result<std::string> download(const std::string& package, const std::string& directory) {
  TRY(run_apt({"env", "-C", directory, "apt-get", "download", "-qq", "-o",
               "APT::Sandbox::User=root", package}));
  for (const std::string& name : TRY(list_dir(AT_FDCWD, directory))) {
    if (name.ends_with(".deb")) return directory + "/" + name;
  }
  return fail(ErrorCode::kNotFound, "apt-get has downloaded no package {}", package);
}

Result<KernelFiles> fetch_package(const VmSetupOptions& options, const std::string& name) {
  const std::string package = TRY_IN(resolve_package(name), "package {}", name);
  tell(options, fmt::format("downloading {}", package));
  const TemporaryDirectory place = TRY(TemporaryDirectory::make());
  const std::string file = TRY_IN(download(package, place.path()), "download {}", package);
  tell(options, fmt::format("unpacking {}", package));
  // NAME_VERSION_ARCHITECTURE.deb
  std::string source = file.substr(file.rfind('/') + 1);
  source = source.substr(0, source.rfind('_'));
  return choose_files(TRY(read_kernel_package(file)), source);
}

Result<> add_modules_of_file(const VmSetupOptions& options, KernelSource& source) {
  if (!options.modules.empty()) return add_modules(options.modules, source);
  const std::string vmlinux = TRY(extract_vmlinux(source.image));
  const std::string release = TRY(payload::microvm::check_vmlinux(vmlinux));
  const std::string installed = "/lib/modules/" + release;
  return exists(installed) ? add_modules(installed, source) : Result<>();
}

Result<KernelFiles> read_kernel_file(const VmSetupOptions& options, const std::string& path) {
  const UniqueFd fd = TRY(open_file(path, O_RDONLY));
  std::string bytes = TRY(read_fd(fd.get(), path, payload::microvm::kMaxKernelBytes));
  if (bytes.starts_with("!<arch>\n")) {
    return choose_files(TRY(read_kernel_package(path)), path);
  }
  KernelSource source;
  source.image = std::move(bytes);
  TRY_IN(add_modules_of_file(options, source), "\"{}\"", path);
  return choose_files(std::move(source), path);
}

Result<KernelFiles> build_from_source(const VmSetupOptions& options) {
  const std::string script = find_companion(kBuildScript);
  if (script.empty()) {
    return fail(ErrorCode::kUnsupported, "the program {} is not installed", kBuildScript);
  }
  tell(options, "building the kernel: that takes about ten minutes of two processors");
  const TemporaryDirectory place = TRY(TemporaryDirectory::make());
  const std::string built = place.path() + "/vmlinux";
  const Output output = TRY(run_program({script, built}, {.timeout = kBuildTimeout}));
  if (!output.ok()) {
    return fail(ErrorCode::kSystem, "the build failed: {}", last_line(output.stderr_text));
  }
  auto files = TRY(read_kernel_file({}, built));
  files.source = last_line(output.stdout_text);
  return files;
}

// A directory that `trivet vm setup` made: one kernel, or the whole with its current one.
Result<KernelFiles> copy_kernel(const std::string& directory) {
  std::string place = directory;
  if (!exists(place + "/kernel.json")) place += "/current";
  Kernel kernel = TRY(payload::microvm::parse_kernel(TRY(read_file(place + "/kernel.json"))));
  kernel.directory = place;
  KernelFiles files{.release = kernel.release, .source = kernel.source, .acpi = kernel.acpi};
  files.vmlinux = TRY(payload::microvm::read_verified(kernel, kernel.vmlinux));
  for (const auto& module : kernel.modules) {
    std::string name = module.path.substr(module.path.rfind('/') + 1);
    name = name.substr(0, name.rfind(".ko"));
    files.modules.emplace_back(std::move(name),
                               TRY(payload::microvm::read_verified(kernel, module)));
  }
  return files;
}

bool is_path(const std::string& text) {
  return text.find('/') != std::string::npos || exists(text);
}

}  // namespace

Result<KernelFiles> fetch_kernel(const VmSetupOptions& options) {
  const int sources =
      int{!options.kernel.empty()} + int{!options.from.empty()} + int{options.from_source};
  if (sources > 1) {
    return fail(ErrorCode::kInvalidArgument, "a kernel comes from one source, not from {}",
                sources);
  }
  if (!options.modules.empty() && !is_path(options.kernel)) {
    return fail(ErrorCode::kInvalidArgument, "a directory of modules belongs to a kernel's file");
  }
  if (options.from_source) return build_from_source(options);
  if (!options.from.empty()) {
    return TRY_IN(copy_kernel(options.from), "\"{}\" has no guest kernel", options.from);
  }
  if (is_path(options.kernel)) return read_kernel_file(options, options.kernel);
  return fetch_package(options, options.kernel.empty() ? kDefaultPackage : options.kernel);
}

}  // namespace trivet::runtime
