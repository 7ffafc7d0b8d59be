#include "payload/microvm/template_store.h"

#include <algorithm>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/sha256.h"
#include "base/text.h"
#include "payload/microvm/file_identity.h"
#include "payload/microvm/host_facts.h"
#include "payload/microvm/host_tools.h"

namespace trivet::payload::microvm {

namespace {

// Goes up when saved machines of an earlier trivet can't be used any more.
constexpr int kFormat = 1;
constexpr size_t kMaxRecord = 65536;
constexpr const char* kPartMark = ".part-";
constexpr const char* kLockSuffix = ".lock";

struct Record {
  std::string boot_id;
  std::string what;
  FileIdentity memory;
  FileIdentity state;
  std::optional<FileIdentity> disk;
};

std::string print_record(const Record& record) {
  Json json{{"boot_id", record.boot_id},
            {"what", record.what},
            {"memory", print_identity(record.memory)},
            {"state", print_identity(record.state)}};
  if (record.disk) json["disk"] = print_identity(*record.disk);
  return json.dump();
}

Result<Record> parse_record(std::string_view text) {
  const Json json = TRY(parse_json(text, "template.json"));
  const JsonView view(json, "template.json");
  Record record;
  TRY(view.read("boot_id", record.boot_id));
  TRY(view.read("what", record.what));
  const auto memory = TRY(view.find("memory"));
  const auto state = TRY(view.find("state"));
  if (!memory || !state) return fail(ErrorCode::kCorrupt, "template.json: a file is not there");
  record.memory = TRY(parse_identity(*memory));
  record.state = TRY(parse_identity(*state));
  if (const auto disk = TRY(view.find("disk"))) record.disk = TRY(parse_identity(*disk));
  return record;
}

Result<Record> read_record(const std::string& directory) {
  return parse_record(TRY(read_file(directory + "/template.json", kMaxRecord)));
}

Result<UniqueFd> open_recorded(const std::string& path, const FileIdentity& identity) {
  UniqueFd fd = TRY(open_file(path, O_RDONLY | O_NOFOLLOW));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat \"{}\"", path);
  if (identity_of(status) == identity) return fd;
  return fail(ErrorCode::kCorrupt, "\"{}\" was changed", path);
}

Result<Template> open_template(const std::string& directory) {
  const Record record = TRY(read_record(directory));
  if (record.boot_id != boot_id()) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is from before the host has booted", directory);
  }
  UniqueFd memory = TRY(open_recorded(directory + "/memory", record.memory));
  UniqueFd state = TRY(open_recorded(directory + "/state", record.state));
  UniqueFd disk;
  if (record.disk) disk = TRY(open_recorded(directory + "/disk", *record.disk));
  return Template{.directory = directory,
                  .memory = std::move(memory),
                  .state = std::move(state),
                  .disk = std::move(disk)};
}

// Out of sight first: what is half removed must not look like a template.
Result<> remove_template(const std::string& directory) {
  const std::string grave = fmt::format("{}{}{}", directory, kPartMark, random_hex(8));
  if (rename(directory.c_str(), grave.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("rename \"{}\" to \"{}\"", directory, grave);
  }
  return remove_tree(AT_FDCWD, grave);
}

Result<UniqueFd> create_file(const std::string& path, uint64_t size) {
  UniqueFd fd = TRY(open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600));
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno("truncate \"{}\"", path);
  return fd;
}

Result<> fill(const std::string& part, uint64_t memory_bytes, const std::string& what,
              const TemplateStore::Maker& maker) {
  if (mkdir(part.c_str(), 0700) != 0) return fail_errno("mkdir \"{}\"", part);
  {
    const UniqueFd memory = TRY(create_file(part + "/memory", memory_bytes));
    const UniqueFd state = TRY(create_file(part + "/state", 0));
    TRY(maker({.memory = memory.get(), .state = state.get(), .disk = part + "/disk"}));
  }
  Record record{.boot_id = boot_id(), .what = what, .memory = {}, .state = {}, .disk = {}};
  record.memory = TRY(identify_file(AT_FDCWD, part + "/memory"));
  record.state = TRY(identify_file(AT_FDCWD, part + "/state"));
  if (exists(part + "/disk")) record.disk = TRY(identify_file(AT_FDCWD, part + "/disk"));
  if (record.memory.size != memory_bytes || record.state.size == 0) {
    return fail(ErrorCode::kCorrupt, "the machine was not saved completely");
  }
  return replace_file(AT_FDCWD, part + "/template.json", print_record(record), 0600);
}

std::string key_of(const std::string& name) {
  return name.substr(0, name.find('.'));
}

// An absent directory has no names.
Result<std::vector<std::string>> names_in(const std::string& directory) {
  auto names = list_dir(AT_FDCWD, directory);
  if (!names && names.error().errnum() == ENOENT) return std::vector<std::string>();
  return names;
}

// What a process left that was killed while it held the lock of `key`, which the caller holds.
Result<> remove_parts(const std::string& directory, const std::string& key) {
  for (const std::string& name : TRY(names_in(directory))) {
    if (name.starts_with(key + kPartMark)) TRY(remove_tree(AT_FDCWD, directory + "/" + name));
  }
  return {};
}

}  // namespace

std::string template_key(const TemplateInputs& inputs) {
  Json devices = Json::array();
  for (const std::string& device : inputs.devices) devices.push_back(device);
  // JSON, so that no part can run over into the next.
  const Json all{kFormat,
                 inputs.qemu,
                 inputs.vmm,
                 inputs.kernel_digest,
                 inputs.initramfs_digest,
                 accelerator_name(inputs.accelerator),
                 inputs.tsc_khz,
                 inputs.vcpus,
                 inputs.memory_mib,
                 inputs.acpi,
                 devices,
                 inputs.processor};
  return sha256_of(all.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<std::string> identify_program(const std::string& path) {
  struct stat status{};
  if (stat(path.c_str(), &status) != 0) return fail_errno("stat \"{}\"", path);
  return fmt::format("{} {}", path, identity_text(identity_of(status)));
}

TemplateStore::TemplateStore(const std::string& vm_dir, TemplateLimits limits,
                             std::string_view name)
    : directory_(fmt::format("{}/{}", vm_dir, name)), limits_(limits) {}

std::string TemplateStore::path_of(const std::string& key) const {
  return fmt::format("{}/{}", directory_, key);
}

std::optional<Template> TemplateStore::find(const std::string& key) const {
  const std::string directory = path_of(key);
  auto found = open_template(directory);
  if (!found) {
    // Too many open files, for example, is no fault of the template's.
    const int errnum = found.error().errnum();
    if (errnum == 0 || errnum == ENOENT) (void)remove_template(directory);
    return std::nullopt;
  }
  // Its last use, for the limits.
  (void)utimensat(AT_FDCWD, (directory + "/template.json").c_str(), nullptr, 0);
  return std::move(*found);
}

Result<std::optional<Template>> TemplateStore::make(const std::string& key, uint64_t memory_bytes,
                                                    const std::string& what, Wait wait,
                                                    const Maker& maker) const {
  TRY(make_dirs(directory_, 0700));
  TRY(require_own_directory(directory_));
  const std::string lock_path = path_of(key) + kLockSuffix;
  std::optional<FileLock> lock;
  if (wait == Wait::kYes) {
    lock = TRY(FileLock::acquire(AT_FDCWD, lock_path));
  } else {
    lock = TRY(FileLock::try_acquire(AT_FDCWD, lock_path));
  }
  if (!lock) return std::nullopt;
  if (auto found = find(key)) return found;
  auto made = make_locked(key, memory_bytes, what, maker);
  if (made) return std::move(*made);
  return std::unexpected(explain_disk_error(std::move(made).error(), directory_)
                             .in("cannot save a machine as a template"));
}

Result<Template> TemplateStore::make_locked(const std::string& key, uint64_t memory_bytes,
                                            const std::string& what, const Maker& maker) const {
  TRY(remove_parts(directory_, key));
  const std::string part = fmt::format("{}{}{}", path_of(key), kPartMark, random_hex(8));
  Rollback rollback;
  rollback.add([&part] { return remove_tree(AT_FDCWD, part); });
  if (auto filled = fill(part, memory_bytes, what, maker); !filled) {
    return std::unexpected(rollback.fail(std::move(filled).error()));
  }
  const std::string directory = path_of(key);
  if (rename(part.c_str(), directory.c_str()) != 0) {
    const int errnum = errno;
    return std::unexpected(rollback.fail(
        Error::from_errno(errnum, fmt::format("rename \"{}\" to \"{}\"", part, directory))));
  }
  rollback.commit();
  TRY(enforce_limits(key));
  return open_template(directory);
}

Result<> TemplateStore::enforce_limits(const std::string& newest) const {
  size_t count = 0;
  uint64_t bytes = 0;
  const auto before_boot = [this](const TemplateInfo& info) {
    const auto record = read_record(path_of(info.key));
    return !record || record->boot_id != boot_id();
  };
  std::vector<TemplateInfo> all = TRY(list());
  std::ranges::stable_partition(all, [&](const TemplateInfo& info) { return info.key == newest; });
  for (const TemplateInfo& info : all) {
    ++count;
    bytes += info.bytes;
    const bool too_much = count > limits_.count || bytes > limits_.bytes;
    if (info.key == newest || (!too_much && !before_boot(info))) continue;
    --count;
    bytes -= info.bytes;
    TRY(remove_template(path_of(info.key)));
  }
  return {};
}

Result<std::vector<TemplateInfo>> TemplateStore::list() const {
  std::vector<TemplateInfo> all;
  for (const std::string& name : TRY(names_in(directory_))) {
    if (name.find('.') != std::string::npos) continue;  // a lock, or unfinished
    TemplateInfo info{.key = name};
    const std::string directory = path_of(name);
    if (const auto record = read_record(directory)) info.what = record->what;
    if (const auto used = identify_file(AT_FDCWD, directory + "/template.json")) {
      info.used = used->mtime;
    }
    info.bytes = disk_usage(AT_FDCWD, directory).value_or(0);
    all.push_back(std::move(info));
  }
  std::ranges::stable_sort(all, std::ranges::greater{}, &TemplateInfo::used);
  return all;
}

Result<uint64_t> TemplateStore::clear() const {
  std::set<std::string> keys;
  for (const std::string& name : TRY(names_in(directory_))) keys.insert(key_of(name));
  uint64_t freed = 0;
  for (const std::string& key : keys) {
    const std::string lock_path = path_of(key) + kLockSuffix;
    const auto lock = TRY(FileLock::try_acquire(AT_FDCWD, lock_path));
    if (!lock) continue;  // it is being made
    freed += disk_usage(AT_FDCWD, path_of(key)).value_or(0);
    TRY(remove_template(path_of(key)));
    TRY(remove_parts(directory_, key));
    TRY(remove_tree(AT_FDCWD, lock_path));
  }
  return freed;
}

TemplateStore warm_templates(const std::string& vm_dir) {
  return TemplateStore(vm_dir, {.count = 8, .bytes = 2ULL << 30U}, "warm");
}

Result<uint64_t> clear_templates(const std::string& vm_dir) {
  const uint64_t freed = TRY(TemplateStore(vm_dir).clear());
  return freed + TRY(warm_templates(vm_dir).clear());
}

}  // namespace trivet::payload::microvm
