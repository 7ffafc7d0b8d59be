// trivet-krun: the machine of a microVM by libkrun. trivet-vmm starts it in QEMU's place, without
// rights, in the jail; never by hand. It becomes the machine and does not return.
#include <cstdio>
#include <dlfcn.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "base/fs.h"
#include "krun/calls.h"
#include "krun/confine.h"

namespace trivet::krun {

namespace {

Result<> run(const std::string& library, std::span<const std::string> words) {
  const std::vector<Call> calls = TRY(parse_calls(words));
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return fail(ErrorCode::kUnsupported, "libkrun can't be loaded: {}", dlerror());
  }
  const Addresses addresses = TRY(find_functions(handle, calls));
  TRY(confine_machine());
  return make_calls(calls, addresses);
}

int complain(std::string_view text) {
  (void)write_all(STDERR_FILENO, fmt::format("trivet-krun: {}\n", text), "stderr");
  return 1;
}

}  // namespace

}  // namespace trivet::krun

// trivet-krun LIBRARY FUNCTION ARGUMENT… FUNCTION…: see calls.h.
int main(int argc, char** argv) {
  using namespace trivet::krun;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && words.front() == "--version") {
    std::printf("trivet-krun %s\n", TRIVET_VERSION);
    return 0;
  }
  if (words.size() < 2) {
    complain("started by trivet-vmm, not by hand");
    return 2;
  }
  const auto ended = run(words.front(), std::span(words).subspan(1));
  return complain(ended ? "the machine has ended" : ended.error().message());
}
