// trivet-monitor: started by the library, never by hand. See process.h.
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <malloc.h>
#include <map>
#include <string>
#include <unistd.h>

#include "base/text.h"
#include "monitor/process.h"

namespace {

using trivet::ErrorCode;
using trivet::Result;
using trivet::UniqueFd;

// An inherited descriptor, from now on ours alone.
Result<UniqueFd> take_fd(const std::string& text) {
  if (text.empty()) return UniqueFd();
  UniqueFd fd(static_cast<int>(TRY(trivet::parse_int(text))));
  if (fcntl(fd.get(), F_SETFD, FD_CLOEXEC) != 0) {
    return trivet::fail_errno("fcntl F_SETFD {}", fd.get());
  }
  return fd;
}

struct Arguments {
  trivet::monitor::MonitorOptions options;
  UniqueFd sync;
  UniqueFd go;
};

Result<Arguments> parse_arguments(int argc, char** argv) {
  std::map<std::string, std::string> values{{"--data", ""},  {"--state", ""},
                                            {"--id", ""},    {"--sync-fd", ""},
                                            {"--go-fd", ""}, {"--attach-fd", ""}};
  for (int i = 1; i < argc; i += 2) {
    const auto found = values.find(argv[i]);
    if (found == values.end() || i + 1 == argc) {
      return trivet::fail(ErrorCode::kInvalidArgument, "unknown or incomplete option \"{}\"",
                          argv[i]);
    }
    found->second = argv[i + 1];
  }
  if (values["--data"].empty() || values["--state"].empty() || values["--id"].empty()) {
    return trivet::fail(ErrorCode::kInvalidArgument, "--data, --state and --id are needed");
  }
  trivet::monitor::MonitorOptions options{
      .directories = {.data = values["--data"], .state = values["--state"]}, .id = values["--id"]};
  options.attach = TRY(take_fd(values["--attach-fd"]));
  UniqueFd sync = TRY(take_fd(values["--sync-fd"]));
  UniqueFd go = TRY(take_fd(values["--go-fd"]));
  return Arguments{.options = std::move(options), .sync = std::move(sync), .go = std::move(go)};
}

// We are started before the container is made, so that the one passes beside the other. False: it
// was not made, or whoever made it is gone.
bool is_told_to_go(UniqueFd go) {
  if (!go) return true;
  char byte = 0;
  ssize_t count = 0;
  do {
    count = ::read(go.get(), &byte, 1);
  } while (count < 0 && errno == EINTR);
  return count == 1;
}

}  // namespace

int main(int argc, char** argv) {
  // One thread that lives long and does little: give memory back early.
  constexpr int kKeep = 64 << 10;
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, kKeep);
  mallopt(M_MMAP_THRESHOLD, kKeep);
  auto arguments = parse_arguments(argc, argv);
  if (!arguments) {
    std::fprintf(stderr, "trivet-monitor: %s\nIt is started by trivet, not by hand.\n",
                 arguments.error().message().c_str());
    return 2;
  }
  if (!is_told_to_go(std::move(arguments->go))) return 0;
  return trivet::monitor::run_monitor(std::move(arguments->options), std::move(arguments->sync))
             ? 0
             : 1;
}
