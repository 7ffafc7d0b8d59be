#include "wasm_host/compile.h"

#include <algorithm>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/sha256.h"
#include "base/text.h"
#include "oci/wasm_module.h"
#include "wasm_host/compiler.h"

namespace trivet::wasm_host {

namespace {

using payload::wasm::CacheRecord;
using payload::wasm::Fuel;

// What a cache directory holds at most. Beyond it the oldest code goes; what runs has it mapped.
constexpr uint64_t kMaxCacheBytes = uint64_t{4} << 30;
constexpr size_t kMaxFileEntries = 4096;

Result<std::string> file_digest(int fd, size_t size) {
  if (size == 0) return fail(ErrorCode::kCorrupt, "the code is empty");
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) return fail_errno("map the code");
  std::string digest = sha256_of({static_cast<const char*>(mapped), size});
  munmap(mapped, size);
  return digest;
}

// Whether the entry is whole; one that was only moved or copied gets a new stamp.
bool restore(int directory, const std::string& key) {
  const auto text = read_file_at(directory, key + ".json");
  if (!text) return false;
  auto record = payload::wasm::parse_cache_record(*text);
  if (!record) return false;
  const auto code = open_at(directory, record->code, O_RDONLY | O_NOFOLLOW);
  struct stat status{};
  if (!code || fstat(code->get(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const auto digest = file_digest(code->get(), static_cast<size_t>(status.st_size));
  if (!digest || *digest != record->digest) return false;
  record->stamp(status);
  return replace_file(directory, key + ".json", payload::wasm::print_cache_record(*record), 0600)
      .has_value();
}

struct OldFile {
  std::string name;
  int64_t used = 0;
  uint64_t size = 0;
};

// Makes room; what can't be looked at or removed stays.
void prune(int directory) {
  const auto names = list_dir(directory, ".");
  if (!names) return;
  std::vector<OldFile> code;
  std::vector<std::string> files;
  uint64_t total = 0;
  for (const std::string& name : *names) {
    if (name.starts_with("file-")) files.push_back(name);
    struct stat status{};
    if (!name.ends_with(".cwasm") ||
        fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    code.push_back({.name = name,
                    .used = std::max(status.st_atime, status.st_mtime),
                    .size = static_cast<uint64_t>(status.st_size)});
    total += code.back().size;
  }
  if (files.size() > kMaxFileEntries) {
    for (const std::string& name : files) (void)unlinkat(directory, name.c_str(), 0);
  }
  std::ranges::sort(code, {}, &OldFile::used);
  for (const OldFile& file : code) {
    if (total <= kMaxCacheBytes) break;
    const std::string key =
        file.name.substr(0, file.name.size() - std::string_view(".cwasm").size());
    (void)unlinkat(directory, (key + ".json").c_str(), 0);
    if (unlinkat(directory, file.name.c_str(), 0) == 0) total -= file.size;
  }
}

Result<> compile(int directory, const std::string& module, Fuel fuel, const std::string& key) {
  const std::string part = fmt::format("part-{}", random_hex(8));
  const UniqueFd code = TRY(open_at(directory, part, O_RDWR | O_CREAT | O_EXCL, 0600));
  Rollback rollback;
  rollback.add([&]() -> Result<> {
    if (unlinkat(directory, part.c_str(), 0) != 0) return fail_errno("unlink \"{}\"", part);
    return {};
  });
  const auto finish = [&]() -> Result<> {
    const ModuleFacts facts = TRY(compile_confined(module, fuel, code.get()));
    CacheRecord record{
        .code = key + ".cwasm", .component = facts.component, .writes_files = facts.writes_files};
    struct stat status{};
    if (fstat(code.get(), &status) != 0) return fail_errno("stat the code");
    record.digest = TRY(file_digest(code.get(), static_cast<size_t>(status.st_size)));
    if (fchmod(code.get(), 0444) != 0 ||
        renameat(directory, part.c_str(), directory, record.code.c_str()) != 0) {
      return fail_errno("publish the code");
    }
    rollback.commit();
    if (fstat(code.get(), &status) != 0) return fail_errno("stat the code");
    record.stamp(status);
    return replace_file(directory, key + ".json", payload::wasm::print_cache_record(record), 0600);
  };
  if (auto done = finish(); !done) return std::unexpected(rollback.fail(std::move(done).error()));
  return {};
}

}  // namespace

Result<CacheEntry> compile_into_cache(const std::string& directory, Fuel fuel) {
  const std::string module = TRY(read_fd(STDIN_FILENO, "module", oci::kMaxWasmModuleBytes));
  std::string key = payload::wasm::cache_key(sha256_of(module), fuel);
  const UniqueFd cache = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  // One process compiles a module; the others wait and find it done.
  const FileLock lock = TRY(FileLock::acquire(cache.get(), "lock-" + key.substr(0, 2)));
  if (restore(cache.get(), key)) return CacheEntry{.key = key, .was_there = true};
  prune(cache.get());
  TRY(compile(cache.get(), module, fuel, key));
  return CacheEntry{.key = key};
}

}  // namespace trivet::wasm_host
