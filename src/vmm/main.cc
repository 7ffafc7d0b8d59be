// trivet-vmm: started by trivet and trivet-oci in a microVM's shell, never by hand. See machine.h,
// member.h and exec_proxy.h.
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "vmm/exec_proxy.h"
#include "vmm/machine.h"
#include "vmm/member.h"

namespace trivet::vmm {

namespace {

namespace microvm = payload::microvm;

constexpr size_t kMaxJob = 32U << 20U;

Result<microvm::AnyJob> read_job(std::string_view variable) {
  const UniqueFd fd(static_cast<int>(TRY(parse_int(variable))));
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  return microvm::parse_job(TRY(read_fd(fd.get(), microvm::kJobVariable, kMaxJob)));
}

int complain(std::string_view text) {
  (void)write_all(STDERR_FILENO, fmt::format("trivet-vmm: {}\n", text), "stderr");
  return 1;
}

int run(std::string_view variable) {
  auto job = read_job(variable);
  clearenv();
  if (!job) return complain(job.error().message());
  if (job->run) return run_machine(std::move(*job->run));
  if (job->member) return run_member(std::move(*job->member));
  return run_exec(*job->exec);
}

}  // namespace

}  // namespace trivet::vmm

int main(int argc, char** argv) {
  using namespace trivet::vmm;
  if (const char* variable = std::getenv(microvm::kJobVariable)) return run(variable);
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("trivet-vmm %s\n", TRIVET_VERSION);
    return 0;
  }
  complain("started by trivet and trivet-oci, not by hand");
  return 2;
}
