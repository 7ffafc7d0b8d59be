// Compiled modules on disk. In a directory, for every module and way to compile it:
//
//   DIGEST-VARIANT-ENGINE.cwasm   the code, made by `trivet-wasm compile`, mapped by `trivet-wasm`
//   DIGEST-VARIANT-ENGINE.json    its size, times, inode and digest, and what the module is
//   file-…-VARIANT                the key for a module's file, by the file's identity and times
//
// Compiling happens in trivet-wasm, in a confined process. Here is only what every start does: a
// module whose file is known costs two small reads and a stat. Code whose size, inode or times are
// not those of the record was changed by somebody, and is hashed again before it is used. Against a
// hostile writer stands the directory, which must be ours alone.
#pragma once

#include <string>
#include <sys/stat.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "payload/wasm/module_file.h"

namespace trivet::payload::wasm {

struct CompiledModule {
  UniqueFd directory;  // O_PATH
  std::string code;    // the file's name in it
  bool component = false;
  bool writes_files = false;  // it imports what can change a file system
  bool hit = false;           // nothing had to be compiled
};

// Whether instructions are counted is compiled into the code.
enum class Fuel { kOff, kCounted };

// The compiled form of a module from `cache_directory`, which is made when missing; compiled now if
// it is not there. Errors: kCommandNotExecutable when it is not valid WebAssembly, kLimitExceeded
// when it is too large or its compilation takes too much, kUnsupported without trivet-wasm.
Result<CompiledModule> compiled_module(const ModuleFile& module, Fuel fuel,
                                       const std::string& cache_directory,
                                       const std::string& host_program);

// --- shared with trivet-wasm, which writes what is read here

struct CacheRecord {
  std::string code;
  std::string digest;  // of the code, hex
  uint64_t size = 0;
  uint64_t inode = 0;
  int64_t mtime = 0;  // nanoseconds
  int64_t ctime = 0;
  bool component = false;
  bool writes_files = false;

  // Takes the identity of the code's file.
  void stamp(const struct stat& status);
  [[nodiscard]] bool matches(const struct stat& status) const;
};
[[nodiscard]] std::string print_cache_record(const CacheRecord& record);
Result<CacheRecord> parse_cache_record(std::string_view text);

[[nodiscard]] std::string cache_key(const std::string& module_digest, Fuel fuel);

}  // namespace trivet::payload::wasm
