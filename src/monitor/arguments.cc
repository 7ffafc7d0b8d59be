#include "monitor/arguments.h"

#include <cerrno>
#include <fcntl.h>
#include <malloc.h>
#include <map>
#include <unistd.h>

#include "base/text.h"

namespace trivet::monitor {

namespace {

// An inherited descriptor, from now on ours alone.
Result<UniqueFd> take_fd(const std::string& text) {
  if (text.empty()) return UniqueFd();
  UniqueFd fd(static_cast<int>(TRY(parse_int(text))));
  if (fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) return fail_errno("fcntl F_SETFD {}", fd.get());
  return fd;
}

}  // namespace

Result<Arguments> parse_arguments(const std::vector<std::string>& words) {
  std::map<std::string, std::string> values{
      {"--data", ""},  {"--state", ""},    {"--id", ""},   {"--sync-fd", ""},
      {"--go-fd", ""}, {"--given-fd", ""}, {"--hold", ""}, {"--own-network", ""}};
  for (size_t i = 0; i < words.size(); i += 2) {
    const auto found = values.find(words[i]);
    if (found == values.end() || i + 1 == words.size()) {
      return fail(ErrorCode::kInvalidArgument, "unknown or incomplete option \"{}\"", words[i]);
    }
    found->second = words[i + 1];
  }
  if (values["--data"].empty() || values["--state"].empty() || values["--id"].empty()) {
    return fail(ErrorCode::kInvalidArgument, "--data, --state and --id are needed");
  }
  Arguments arguments{.directories = {.data = values["--data"], .state = values["--state"]},
                      .id = values["--id"]};
  arguments.sync = TRY(take_fd(values["--sync-fd"]));
  arguments.go = TRY(take_fd(values["--go-fd"]));
  arguments.given = TRY(take_fd(values["--given-fd"]));
  arguments.hold = values["--hold"] == "yes";
  arguments.own_network = values["--own-network"] == "yes";
  return arguments;
}

bool is_told_to_go(UniqueFd go) {
  if (!go) return true;
  char byte = 0;
  ssize_t count = 0;
  do {
    count = ::read(go.get(), &byte, 1);
  } while (count < 0 && errno == EINTR);
  return count == 1;
}

void stay_small() {
  constexpr int kKeep = 64 << 10;
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, kKeep);
  mallopt(M_MMAP_THRESHOLD, kKeep);
}

}  // namespace trivet::monitor
