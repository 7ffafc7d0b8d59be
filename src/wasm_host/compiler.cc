#include "wasm_host/compiler.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/process.h"
#include "base/text.h"
#include "oci/wasm_module.h"
#include "payload/wasm/job.h"
#include "wasm_host/engine.h"
#include "wasm_host/sandbox.h"

namespace trivet::wasm_host {

namespace {

using payload::wasm::Fuel;
using payload::wasm::kExitNotExecutable;

constexpr int kCodeFd = 3;  // in the sandbox
constexpr char kComponentFlag = 1;
constexpr char kWritesFlag = 2;

// What a preview 1 module imports when it may change files; sockets and streams are fd_write's.
constexpr auto kWritingImports = std::to_array<std::string_view>({
    "path_open",
    "path_create_directory",
    "path_filestat_set_times",
    "path_link",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
});

bool writes_files(const wasmtime::Module& module) {
  for (const auto import : module.imports()) {
    if (std::ranges::find(kWritingImports, import.name()) != kWritingImports.end()) return true;
  }
  return false;
}

bool is_component(const std::vector<uint8_t>& module) {
  return module.size() > 6 && module[6] != 0;
}

[[noreturn]] void refuse(const std::string& why) {
  std::string text = why;
  std::ranges::replace(text, '\n', ' ');
  (void)write_all(STDERR_FILENO, text + "\n", "stderr");
  _exit(kExitNotExecutable);
}

template <typename T>
T require(wasmtime::Result<T> result) {
  if (!result) refuse(result.err().message());
  return std::move(result).ok();
}

// Text or binary to binary.
std::vector<uint8_t> as_binary(std::string_view module) {
  if (oci::is_wasm(module)) return {module.begin(), module.end()};
  auto binary = wasmtime::wat2wasm(module);
  if (!binary) refuse("it is neither WebAssembly nor its text format: " + binary.err().message());
  return std::move(binary).ok();
}

[[noreturn]] void compile_here(std::string_view module, Fuel fuel) {
  std::vector<uint8_t> bytes = as_binary(module);
  wasmtime::Engine engine = make_engine(fuel, Purpose::kCompile);
  char flags = 0;
  std::vector<uint8_t> code;
  if (is_component(bytes)) {
    constexpr std::string_view kFileSystem = "wasi:filesystem/types";
    const bool writes = std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())
                            .find(kFileSystem) != std::string_view::npos;
    flags = static_cast<char>(kComponentFlag | (writes ? kWritesFlag : 0));
    code = require(
        require(wasmtime::component::Component::compile(engine, {bytes.data(), bytes.size()}))
            .serialize());
  } else {
    const auto compiled = require(wasmtime::Module::compile(engine, {bytes.data(), bytes.size()}));
    flags = writes_files(compiled) ? kWritesFlag : char{0};
    code = require(compiled.serialize());
  }
  const std::string_view text(reinterpret_cast<const char*>(code.data()), code.size());
  if (!write_all(kCodeFd, text, "code")) _exit(1);
  if (write(STDOUT_FILENO, &flags, 1) != 1) _exit(1);
  _exit(0);
}

[[noreturn]] void be_compiler(std::string_view module, Fuel fuel, int code_fd, int out, int err) {
  if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) _exit(1);
  if (auto confined = enter_compiler_sandbox(code_fd); !confined) {
    (void)write_all(STDERR_FILENO, "confine the compiler: " + confined.error().message() + "\n",
                    "stderr");
    _exit(1);
  }
  compile_here(module, fuel);
}

Error describe(int status, const std::string& text) {
  const std::string why(trim(text));
  if (WIFEXITED(status) && WEXITSTATUS(status) == kExitNotExecutable) {
    return Error(ErrorCode::kCommandNotExecutable, why);
  }
  if (WIFSIGNALED(status)) {
    return Error(ErrorCode::kLimitExceeded,
                 fmt::format("the compiler was ended by {}{}{}", signal_name(WTERMSIG(status)),
                             why.empty() ? "" : ": ", why))
        .hint("a module may take 8 GiB of memory and 10 minutes of processor time to compile");
  }
  return Error(ErrorCode::kSystem, why.empty() ? "the compiler failed" : why);
}

}  // namespace

Result<ModuleFacts> compile_confined(std::string_view module, Fuel fuel, int code_fd) {
  Pipe out = TRY(make_pipe());
  Pipe err = TRY(make_pipe());
  const pid_t child = fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) be_compiler(module, fuel, code_fd, out.write_end.get(), err.write_end.get());
  out.write_end.reset();
  err.write_end.reset();
  // A few lines at most on stderr and one byte on stdout: the order doesn't matter.
  constexpr size_t kMaxWords = 64 << 10;
  const auto words = read_fd(err.read_end.get(), "compiler", kMaxWords);
  const auto facts = read_fd(out.read_end.get(), "compiler", kMaxWords);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return std::unexpected(describe(status, words.value_or("")));
  if (!facts || facts->size() != 1) {
    return fail(ErrorCode::kCorrupt, "the compiler said nothing about the module");
  }
  const char flags = facts->front();
  return ModuleFacts{.component = (flags & kComponentFlag) != 0,
                     .writes_files = (flags & kWritesFlag) != 0};
}

}  // namespace trivet::wasm_host
