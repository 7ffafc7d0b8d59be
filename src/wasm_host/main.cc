// trivet-wasm: started by trivet and trivet-oci, never by hand. See run.h and compile.h.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unistd.h>

#include "base/fs.h"
#include "wasm_host/compile.h"
#include "wasm_host/engine.h"
#include "wasm_host/run.h"

namespace trivet::wasm_host {

namespace {

namespace wasm = payload::wasm;

int compile_command(const std::string& directory, std::string_view variant) {
  if (variant != "plain" && variant != "fuel") {
    complain("compile: the variant is neither plain nor fuel");
    return 2;
  }
  const auto entry =
      compile_into_cache(directory, variant == "fuel" ? wasm::Fuel::kCounted : wasm::Fuel::kOff);
  if (entry) {
    const std::string answer =
        fmt::format("{} {}\n", entry->key, entry->was_there ? "found" : "made");
    return write_all(STDOUT_FILENO, answer, "stdout") ? 0 : 1;
  }
  // Whoever started us puts its own words around.
  (void)write_all(STDERR_FILENO, entry.error().message() + "\n", "stderr");
  return entry.error().code() == ErrorCode::kCommandNotExecutable ? wasm::kExitNotExecutable : 1;
}

// The program's environment is everything but the job. Ours is empty, so that an image can't
// configure the host through it.
Program take_program(int argc, char** argv) {
  Program program;
  program.args.assign(argv, argv + argc);
  const std::string_view job = wasm::kJobVariable;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (text.starts_with(job) && text[job.size()] == '=') continue;
    program.env.emplace_back(text);
  }
  return program;
}

}  // namespace

}  // namespace trivet::wasm_host

int main(int argc, char** argv) {
  using namespace trivet::wasm_host;
  if (const char* text = std::getenv(wasm::kJobVariable)) {
    const auto job = wasm::parse_job(text);
    const Program program = take_program(argc, argv);
    clearenv();
    if (job) return run_job(*job, program);
    complain(job.error().message());
    return 1;
  }
  if (argc == 4 && std::string_view(argv[1]) == "compile") return compile_command(argv[2], argv[3]);
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("trivet-wasm %s\n", TRIVET_VERSION);
    return 0;
  }
  complain("started by trivet and trivet-oci, not by hand");
  return 2;
}
