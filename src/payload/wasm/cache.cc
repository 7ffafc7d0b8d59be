#include "payload/wasm/cache.h"

#include <chrono>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_identity.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "oci/wasm_module.h"
#include "payload/wasm/engine_id.h"
#include "payload/wasm/job.h"

namespace trivet::payload::wasm {

namespace {

constexpr size_t kMaxRecord = 4096;
// RLIMIT_CPU ends a compilation before this does.
constexpr std::chrono::minutes kCompileTimeout{15};

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

const char* variant_name(Fuel fuel) {
  return fuel == Fuel::kCounted ? "fuel" : "plain";
}

// The name of the entry that says which module a file holds.
std::string file_entry(int fd, const struct stat& status, Fuel fuel) {
  return fmt::format("file-{}-{}", file_identity(fd, status), variant_name(fuel));
}

Result<UniqueFd> open_cache(const std::string& path) {
  auto fd = open_file(path, O_RDONLY | O_DIRECTORY);
  if (!fd && fd.error().errnum() == ENOENT) {
    TRY(make_dirs(path, 0700));
    // The container's user has to reach the code by its name, and has no other way in than the
    // descriptor that trivet-wasm gets.
    if (chmod(path.c_str(), 0711) != 0) return fail_errno("chmod \"{}\"", path);
    fd = open_file(path, O_RDONLY | O_DIRECTORY);
  }
  if (!fd) return std::unexpected(std::move(fd).error());
  struct stat status{};
  if (fstat(fd->get(), &status) != 0) return fail_errno("stat \"{}\"", path);
  if (status.st_uid != geteuid() || (status.st_mode & 022) != 0) {
    return std::unexpected(
        Error(ErrorCode::kPermissionDenied,
              fmt::format("\"{}\" has another owner or can be written by others", path))
            .hint("compiled code is executed: remove the directory, it will be made again"));
  }
  return fd;
}

// Nothing when it is not there or not what it was.
std::optional<CacheRecord> read_record(int directory, const std::string& key) {
  const auto text = read_file_at(directory, key + ".json", kMaxRecord);
  if (!text) return std::nullopt;
  auto record = parse_cache_record(*text);
  if (!record) return std::nullopt;
  struct stat status{};
  if (fstatat(directory, record->code.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
      !record->matches(status)) {
    return std::nullopt;
  }
  return std::move(*record);
}

Result<std::string> read_module(const ModuleFile& module) {
  auto bytes = read_fd(module.fd.get(), module.path, oci::kMaxWasmModuleBytes);
  if (!bytes && bytes.error().code() == ErrorCode::kLimitExceeded) {
    return fail(ErrorCode::kLimitExceeded, "\"{}\": a module may have at most {}", module.path,
                format_size(oci::kMaxWasmModuleBytes));
  }
  return bytes;
}

struct Entry {
  std::string key;
  bool was_there = false;
};

// The entry that trivet-wasm made, or found.
Result<Entry> compile(const ModuleFile& module, Fuel fuel, const std::string& cache_directory,
                      const std::string& host_program) {
  ProgramOptions options;
  options.stdin_text = TRY(read_module(module));
  options.timeout = kCompileTimeout;
  const Output output =
      TRY(run_program({host_program, "compile", cache_directory, variant_name(fuel)}, options));
  if (output.ok()) {
    const std::vector<std::string> words = split(trim(output.stdout_text), ' ');
    return Entry{.key = words.front(), .was_there = words.back() == "found"};
  }
  const std::string why(trim(output.stderr_text));
  if (output.exit_code == kExitNotExecutable) {
    return fail(ErrorCode::kCommandNotExecutable, "\"{}\": {}", module.path, why);
  }
  return fail(ErrorCode::kSystem, "cannot compile \"{}\": {}", module.path,
              why.empty() ? fmt::format("trivet-wasm ended with {}", output.exit_code) : why);
}

}  // namespace

void CacheRecord::stamp(const struct stat& status) {
  size = static_cast<uint64_t>(status.st_size);
  inode = status.st_ino;
  mtime = nanoseconds(status.st_mtim);
  ctime = nanoseconds(status.st_ctim);
}

bool CacheRecord::matches(const struct stat& status) const {
  CacheRecord now;
  now.stamp(status);
  return S_ISREG(status.st_mode) && status.st_uid == geteuid() && now.size == size &&
         now.inode == inode && now.mtime == mtime && now.ctime == ctime;
}

std::string print_cache_record(const CacheRecord& record) {
  return Json{{"code", record.code},           {"digest", record.digest},
              {"size", record.size},           {"inode", record.inode},
              {"mtime", record.mtime},         {"ctime", record.ctime},
              {"component", record.component}, {"writesFiles", record.writes_files}}
      .dump();
}

Result<CacheRecord> parse_cache_record(std::string_view text) {
  const Json json = TRY(parse_json(text, "cache record"));
  const JsonView view(json, "cache record");
  CacheRecord record;
  TRY(view.read("code", record.code));
  TRY(view.read("digest", record.digest));
  TRY(view.read("size", record.size));
  TRY(view.read("inode", record.inode));
  TRY(view.read("mtime", record.mtime));
  TRY(view.read("ctime", record.ctime));
  TRY(view.read("component", record.component));
  TRY(view.read("writesFiles", record.writes_files));
  if (record.code.empty() || record.code.find('/') != std::string::npos) {
    return fail(ErrorCode::kCorrupt, "cache record: \"{}\" is no file name", record.code);
  }
  return record;
}

std::string cache_key(const std::string& module_digest, Fuel fuel) {
  return fmt::format("{}-{}-{}", module_digest, variant_name(fuel), engine_id());
}

Result<CompiledModule> compiled_module(const ModuleFile& module, Fuel fuel,
                                       const std::string& cache_directory,
                                       const std::string& host_program) {
  CompiledModule compiled;
  compiled.directory = TRY_IN(open_cache(cache_directory), "the cache of compiled modules");
  const int directory = compiled.directory.get();
  struct stat status{};
  if (fstat(module.fd.get(), &status) != 0) return fail_errno("stat \"{}\"", module.path);
  const std::string entry = file_entry(module.fd.get(), status, fuel);

  std::optional<CacheRecord> record;
  if (const auto key = read_file_at(directory, entry, kMaxRecord)) {
    if (key->ends_with(engine_id())) record = read_record(directory, *key);
  }
  compiled.hit = record.has_value();
  if (!record) {
    const Entry made = TRY(compile(module, fuel, cache_directory, host_program));
    compiled.hit = made.was_there;
    const std::string& key = made.key;
    record = read_record(directory, key);
    if (!record) {
      return fail(ErrorCode::kCorrupt, "\"{}/{}\" is not what was just written there",
                  cache_directory, key);
    }
    if (has_settled(status)) TRY(replace_file(directory, entry, key, 0600));
  }
  compiled.code = record->code;
  compiled.component = record->component;
  compiled.writes_files = record->writes_files;
  return compiled;
}

}  // namespace trivet::payload::wasm
