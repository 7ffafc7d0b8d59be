#include "guest/vminit/adoption.h"

#include <array>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <climits>

#include "base/fs.h"
#include "base/text.h"

namespace trivet::guest {

namespace {

// container/launch.cc: what the waiting init has mapped, privately and to write.
constexpr std::string_view kPlanName = "/memfd:trivet-plan";
constexpr size_t kMaxMaps = 1U << 20U;
constexpr size_t kMaxPlan = 16U << 20U;

struct Range {
  off_t begin = 0;
  size_t size = 0;
};

// In its namespace, and back in our own. The name that was there.
Result<std::string> exchange_hostname(pid_t init, const std::string& name) {
  const UniqueFd own = TRY(open_file("/proc/self/ns/uts", O_RDONLY));
  const UniqueFd inner = TRY(open_file(fmt::format("/proc/{}/ns/uts", init), O_RDONLY));
  if (::setns(inner.get(), CLONE_NEWUTS) != 0) return fail_errno("setns of a UTS namespace");
  std::array<char, HOST_NAME_MAX + 1> before{};
  const bool named = ::gethostname(before.data(), before.size()) == 0 &&
                     ::sethostname(name.data(), name.size()) == 0;
  const int errnum = errno;
  if (::setns(own.get(), CLONE_NEWUTS) != 0) return fail_errno("setns of a UTS namespace");
  if (named) return std::string(before.data());
  return std::unexpected(Error::from_errno(errnum, fmt::format("sethostname \"{}\"", name)));
}

Result<Range> find_plan(pid_t init) {
  const std::string path = fmt::format("/proc/{}/maps", init);
  for (const std::string& line : split(TRY(read_file(path, kMaxMaps)), '\n')) {
    if (line.find(kPlanName) == std::string::npos) continue;
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &begin, &end) != 2) break;  // NOLINT(cert-err34-c)
    if (end - begin > kMaxPlan) break;
    return Range{.begin = static_cast<off_t>(begin), .size = end - begin};
  }
  return fail(ErrorCode::kCorrupt, "\"{}\" has no plan of a container", path);
}

// A variable is bounded by the ends of strings on both sides, and its value is one that nobody can
// have put elsewhere: payload/microvm/warm_plan.h.
Result<> replace_variable(pid_t init, const std::string& from, const std::string& to) {
  const Range plan = TRY(find_plan(init));
  const std::string path = fmt::format("/proc/{}/mem", init);
  const UniqueFd memory = TRY(open_file(path, O_RDWR));
  std::string bytes(plan.size, '\0');
  const ssize_t count = ::pread(memory.get(), bytes.data(), bytes.size(), plan.begin);
  if (count < 0) return fail_errno("read \"{}\"", path);
  bytes.resize(static_cast<size_t>(count));
  const size_t at = bytes.find(std::string("\0", 1) + from + std::string("\0", 1));
  if (at == std::string::npos) return {};
  const off_t place = plan.begin + static_cast<off_t>(at) + 1;
  if (::pwrite(memory.get(), to.data(), to.size(), place) == static_cast<ssize_t>(to.size())) {
    return {};
  }
  return fail_errno("write \"{}\"", path);
}

}  // namespace

Result<> rename_container(pid_t init, const std::string& name) {
  if (name.empty()) return {};
  const std::string before = TRY(exchange_hostname(init, name));
  if (before.size() != name.size()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" can't take the place of \"{}\"", name, before);
  }
  return replace_variable(init, "HOSTNAME=" + before, "HOSTNAME=" + name);
}

}  // namespace trivet::guest
