#include "base/process_title.h"

#include <cerrno>
#include <cstring>
#include <span>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fs.h"

namespace trivet {

namespace {

// The words of the command line, and behind them those of the environment that are still where the
// kernel has laid them.
Result<std::span<char>> words_in_memory() {
  char* begin = program_invocation_name;
  char* end = environ != nullptr ? environ[0] : nullptr;
  if (end == nullptr || end < begin)
    return std::span(begin, TRY(read_file("/proc/self/cmdline")).size());
  for (size_t i = 0; environ[i] == end; ++i) end += std::strlen(end) + 1;
  return std::span(begin, end);
}

// Never freed: it is the environment from now on.
void move_environment() {
  size_t count = 0;
  while (environ != nullptr && environ[count] != nullptr) ++count;
  auto** moved = new char*[count + 1];  // NOLINT(cppcoreguidelines-owning-memory)
  for (size_t i = 0; i < count; ++i) moved[i] = strdup(environ[i]);
  moved[count] = nullptr;
  environ = moved;
}

}  // namespace

Result<> set_process_title(const std::string& name, const std::string& text) {
  if (prctl(PR_SET_NAME, name.c_str()) != 0) return fail_errno("prctl PR_SET_NAME");
  const std::span<char> room = TRY(words_in_memory());
  if (room.empty()) return {};
  move_environment();
  std::memset(room.data(), 0, room.size());
  text.copy(room.data(), room.size() - 1);
  return {};
}

}  // namespace trivet
