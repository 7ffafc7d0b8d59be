// Compiled profiles on disk. One entry a profile:
//
//   magic, checksum of what follows, flags, listener, sizes of key and program
//   the key: everything the program depends on, as bytes
//   the program
//
// The name of an entry is a hash of the key, and the key is compared as a whole, so two profiles
// with the same hash can't get each other's program: no cryptographic hash is needed. The checksum
// finds damage; against a hostile writer stands the directory, which must be ours alone.
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <seccomp.h>

#include "base/fs.h"
#include "base/unique_fd.h"
#include "linux/seccomp.h"

namespace trivet::seccomp {

namespace {

constexpr uint64_t kMagic = 0x3143'4345'5356'5254;  // "TRVSECC1"; changes with the compiler's rules
constexpr size_t kMaxEntry = 4U << 20U;

struct Header {
  uint64_t magic;
  uint64_t checksum;
  uint32_t flags;
  uint32_t wants_listener;
  uint32_t key_size;
  uint32_t instruction_count;
};

// A 64-bit multiply-and-mix hash over words: quick and well spread, not cryptographic.
uint64_t hash_of(std::string_view bytes) {
  constexpr uint64_t kMultiplier = 0x9E37'79B9'7F4A'7C15;
  uint64_t hash = bytes.size() * kMultiplier;
  while (!bytes.empty()) {
    uint64_t word = 0;
    const size_t count = std::min(bytes.size(), sizeof word);
    std::memcpy(&word, bytes.data(), count);
    bytes.remove_prefix(count);
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 29U;
  }
  return hash;
}

// Appends values so that no two sequences give the same bytes.
class Key {
 public:
  void add(uint64_t value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void add(std::string_view text) {
    add(uint64_t{text.size()});
    bytes_.append(text);
  }
  void add(const std::vector<std::string>& texts) {
    add(uint64_t{texts.size()});
    for (const std::string& text : texts) add(text);
  }
  void add(const std::optional<uint32_t>& value) { add(value ? uint64_t{*value} : UINT64_MAX); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

void add_rule(Key& key, const oci::SeccompRule& rule) {
  key.add(rule.names);
  key.add(rule.action);
  key.add(rule.errno_ret);
  key.add(uint64_t{rule.args.size()});
  for (const oci::SeccompArg& argument : rule.args) {
    key.add(uint64_t{argument.index});
    key.add(argument.value);
    key.add(argument.value_two);
    key.add(argument.op);
  }
}

std::string key_of(const oci::Seccomp& profile) {
  Key key;
  const scmp_version* version = seccomp_version();
  key.add(uint64_t{version->major});
  key.add(uint64_t{version->minor});
  key.add(uint64_t{version->micro});
  // libseccomp leaves out what the running kernel can't do.
  key.add(uint64_t{seccomp_api_get()});
  key.add(uint64_t{seccomp_arch_native()});
  key.add(profile.default_action);
  key.add(profile.default_errno_ret);
  key.add(profile.architectures);
  key.add(profile.flags);
  key.add(uint64_t{profile.syscalls.size()});
  for (const oci::SeccompRule& rule : profile.syscalls) add_rule(key, rule);
  return key.take();
}

std::string print_entry(const std::string& key, const Program& program) {
  Header header{};
  header.magic = kMagic;
  header.flags = program.flags;
  header.wants_listener = program.wants_listener ? 1 : 0;
  header.key_size = static_cast<uint32_t>(key.size());
  header.instruction_count = static_cast<uint32_t>(program.instructions.size());
  std::string entry(sizeof header, '\0');
  std::memcpy(entry.data(), &header, sizeof header);
  entry += key;
  entry += bytes_of(program);
  header.checksum = hash_of(entry);  // with a checksum of zero in the header
  std::memcpy(entry.data(), &header, sizeof header);
  return entry;
}

// The program of an entry; nothing when it is damaged or another profile's.
std::optional<Program> parse_entry(std::string entry, std::string_view key) {
  Header header{};
  if (entry.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, entry.data(), sizeof header);
  const size_t program_size = size_t{header.instruction_count} * sizeof(sock_filter);
  if (header.magic != kMagic || header.key_size != key.size() || header.wants_listener > 1 ||
      entry.size() != sizeof header + key.size() + program_size) {
    return std::nullopt;
  }
  const uint64_t checksum = std::exchange(header.checksum, 0);
  std::memcpy(entry.data(), &header, sizeof header);
  if (hash_of(entry) != checksum || entry.compare(sizeof header, key.size(), key) != 0) {
    return std::nullopt;
  }
  Program program;
  program.flags = header.flags;
  program.wants_listener = header.wants_listener == 1;
  program.instructions.resize(header.instruction_count);
  std::memcpy(program.instructions.data(), entry.data() + sizeof header + key.size(), program_size);
  return program;
}

// Who can write into the cache can turn the filter of every later container off.
Result<UniqueFd> open_cache(const std::string& directory) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  auto opened = open_file(directory, kFlags);
  if (!opened && opened.error().errnum() == ENOENT) {
    TRY(make_dirs(directory, 0700));
    opened = open_file(directory, kFlags);
  }
  UniqueFd fd = TRY(std::move(opened));
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return fail_errno("stat \"{}\"", directory);
  if (status.st_uid != geteuid() || (status.st_mode & 077U) != 0) {
    return std::unexpected(
        Error(ErrorCode::kPermissionDenied,
              fmt::format("seccomp cache \"{}\" is open to others (owner {}, mode {:04o})",
                          directory, status.st_uid, status.st_mode & 07777U))
            .hint("it must belong to the user who runs trivet and have mode 0700"));
  }
  return fd;
}

}  // namespace

std::string_view bytes_of(const Program& program) {
  return {reinterpret_cast<const char*>(program.instructions.data()),
          program.instructions.size() * sizeof(sock_filter)};
}

Result<Program> compile_cached(const oci::Seccomp& profile, const std::string& cache_dir) {
  if (cache_dir.empty()) return compile(profile);
  const UniqueFd cache = TRY(open_cache(cache_dir));
  const std::string key = key_of(profile);
  const std::string name = fmt::format("{:016x}.bpf", hash_of(key));
  if (auto entry = read_file_at(cache.get(), name, kMaxEntry)) {
    if (auto program = parse_entry(std::move(*entry), key)) return std::move(*program);
  }
  Program program = TRY(compile(profile));
  // A cache that can't be written (a full disk) costs time, nothing else.
  (void)replace_file(cache.get(), name, print_entry(key, program), 0600);
  return program;
}

}  // namespace trivet::seccomp
