#include "payload/microvm/initramfs.h"

#include <algorithm>
#include <set>
#include <unistd.h>

#include "base/sha256.h"
#include "payload/microvm/cpio.h"
#include "payload/microvm/kernel_modules.h"

namespace trivet::payload::microvm {

namespace {

// Goes up when make_initramfs() or trim_module() changes.
constexpr int kFormat = 2;
constexpr size_t kMaxRecord = 4096;
// Several builds of trivet may use one directory, each with its own trivet-vminit.
constexpr size_t kKeptRecords = 16;
constexpr std::string_view kRecordPrefix = "for-";

struct Record {
  StoredFile cpio;
  std::string kernel;  // its id
};

std::string print_record(const Record& record) {
  return Json{{"kernel", record.kernel},
              {"path", record.cpio.path},
              {"digest", record.cpio.digest},
              {"identity", print_identity(record.cpio.identity)}}
      .dump();
}

Result<Record> parse_record(std::string_view text) {
  const Json json = TRY(parse_json(text, "initramfs record"));
  const JsonView view(json, "initramfs record");
  Record record;
  TRY(view.read("kernel", record.kernel));
  TRY(view.read("path", record.cpio.path));
  TRY(view.read("digest", record.cpio.digest));
  if (const auto identity = TRY(view.find("identity"))) {
    record.cpio.identity = TRY(parse_identity(*identity));
  }
  if (record.cpio.path.empty() || record.cpio.path.find('/') != std::string::npos) {
    return fail(ErrorCode::kCorrupt, "initramfs record: \"{}\" is no file name", record.cpio.path);
  }
  return record;
}

std::string directory_of(const std::string& vm_dir) {
  return vm_dir + "/initramfs";
}

struct Programs {
  std::string vminit;
  std::string infra;  // may be empty
};

Result<std::string> record_path(const std::string& vm_dir, const Kernel& kernel,
                                const Programs& programs) {
  std::string inputs = fmt::format("{}\n{}\n", kFormat, kernel.vmlinux.digest);
  for (const std::string& path : {programs.vminit, programs.infra}) {
    if (path.empty()) continue;
    struct stat status{};
    if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
    inputs += identity_text(identity_of(status)) + '\n';
  }
  for (const StoredFile& module : kernel.modules) inputs += module.path + module.digest + '\n';
  return fmt::format("{}/{}{}.json", directory_of(vm_dir), kRecordPrefix,
                     sha256_of(inputs).substr(0, 32));
}

// Nothing when it was not made yet, or is not any more what was made.
std::optional<Record> find_record(const std::string& vm_dir, const std::string& path) {
  const auto text = read_file(path, kMaxRecord);
  if (!text) return std::nullopt;
  auto record = parse_record(*text);
  if (!record) return std::nullopt;
  const auto now = identify_file(AT_FDCWD, directory_of(vm_dir) + "/" + record->cpio.path);
  if (!now || *now != record->cpio.identity) return std::nullopt;
  return std::move(*record);
}

// Names of the records that stay, newest first, and of their archives.
Result<std::set<std::string>> names_to_keep(const std::string& vm_dir) {
  const std::string directory = directory_of(vm_dir);
  std::vector<std::pair<int64_t, std::string>> records;
  for (const std::string& name : TRY(list_dir(AT_FDCWD, directory))) {
    const auto identity = identify_file(AT_FDCWD, directory + "/" + name);
    if (identity && name.starts_with(kRecordPrefix)) records.emplace_back(identity->mtime, name);
  }
  std::ranges::sort(records, std::ranges::greater{});
  std::set<std::string> kept;
  size_t count = 0;
  for (const auto& [time, name] : records) {
    const auto record = find_record(vm_dir, directory + "/" + name);
    if (!record || !exists(fmt::format("{}/kernels/{}", vm_dir, record->kernel))) continue;
    if (++count > kKeptRecords) break;
    kept.insert({name, record->cpio.path});
  }
  return kept;
}

// The lock is held.
Result<> collect(const std::string& vm_dir) {
  const std::string directory = directory_of(vm_dir);
  const std::set<std::string> kept = TRY(names_to_keep(vm_dir));
  for (const std::string& name : TRY(list_dir(AT_FDCWD, directory))) {
    if (!kept.contains(name)) TRY(remove_tree(AT_FDCWD, directory + "/" + name));
  }
  return {};
}

Result<std::string> build(const Kernel& kernel, const Programs& programs) {
  std::vector<InitramfsModule> modules;
  for (const StoredFile& module : kernel.modules) {
    modules.push_back({
      .file_name = module.path.substr(module.path.rfind('/') + 1),
      .object = trim_module(TRY(read_verified(kernel, module)))
    });
  }
  std::string infra;
  if (!programs.infra.empty()) infra = TRY(read_file(programs.infra));
  return make_initramfs(TRY(read_file(programs.vminit)), modules, infra);
}

Result<Record> make_record(const std::string& vm_dir, const Kernel& kernel,
                           const Programs& programs, const std::string& path) {
  const FileLock lock = TRY(lock_vm_directory(vm_dir));
  if (auto made = find_record(vm_dir, path)) return std::move(*made);
  const std::string directory = directory_of(vm_dir);
  TRY(make_dirs(directory));
  const std::string archive = TRY(build(kernel, programs));
  Record record{.kernel = kernel.id};
  record.cpio.digest = sha256_of(archive);
  record.cpio.path = record.cpio.digest + ".cpio";
  const std::string target = directory + "/" + record.cpio.path;
  TRY(replace_file(AT_FDCWD, target, archive, 0644, Durability::kDurable));
  record.cpio.identity = TRY(identify_file(AT_FDCWD, target));
  TRY(replace_file(AT_FDCWD, path, print_record(record)));
  TRY(collect(vm_dir));
  return record;
}

}  // namespace

std::string make_initramfs(std::string_view vminit, const std::vector<InitramfsModule>& modules,
                           std::string_view infra) {
  CpioWriter cpio;
  for (const char* directory : {"dev", "proc", "sys", "run", "modules"}) {
    cpio.add_directory(directory);
  }
  std::string list;
  for (const InitramfsModule& module : modules) {
    list += module.file_name + '\n';
    cpio.add_file("modules/" + module.file_name, module.object, CpioWriter::Access::kData);
  }
  cpio.add_file("modules/list", list, CpioWriter::Access::kData);
  cpio.add_file("init", vminit, CpioWriter::Access::kProgram);
  if (!infra.empty()) cpio.add_file("trivet-infra", infra, CpioWriter::Access::kProgram);
  return cpio.finish();
}

Result<> collect_initramfs(const std::string& vm_dir) {
  const FileLock lock = TRY(lock_vm_directory(vm_dir));
  return exists(directory_of(vm_dir)) ? collect(vm_dir) : Result<>();
}

Result<Guest> find_guest(const std::string& vm_dir, const std::string& vminit,
                         const std::string& infra) {
  if (vminit.empty()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "the program trivet-vminit is not installed")
            .hint("it belongs beside trivet, or into libexec/trivet"));
  }
  const Kernel kernel = TRY(current_kernel(vm_dir));
  TRY(verify_file(kernel, kernel.vmlinux));
  const Programs programs{.vminit = vminit, .infra = infra};
  const std::string path = TRY(record_path(vm_dir, kernel, programs));
  auto record = find_record(vm_dir, path);
  if (!record) {
    record = TRY_IN(make_record(vm_dir, kernel, programs, path), "cannot make the initramfs");
  }
  return Guest{.kernel = fmt::format("{}/{}", kernel.directory, kernel.vmlinux.path),
               .kernel_digest = kernel.vmlinux.digest,
               .kernel_id = kernel.id,
               .kernel_release = kernel.release,
               .acpi = kernel.acpi,
               .initramfs = fmt::format("{}/{}", directory_of(vm_dir), record->cpio.path),
               .initramfs_digest = record->cpio.digest};
}

}  // namespace trivet::payload::microvm
