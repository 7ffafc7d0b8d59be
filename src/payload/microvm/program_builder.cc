#include "payload/microvm/program_builder.h"

#include <fcntl.h>

#include "base/fs.h"
#include "base/memfd.h"
#include "base/paths.h"
#include "payload/host_program.h"
#include "payload/microvm/job.h"

namespace trivet::payload::microvm {

Result<ProgramBuilder> ProgramBuilder::make() {
  const std::string path = find_companion("trivet-vmm");
  if (path.empty()) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported, "the program trivet-vmm is not installed")
            .hint("it runs microVMs; it belongs beside trivet or into ../libexec/trivet"));
  }
  ProgramBuilder builder;
  builder.program_.file = TRY(open_host_program(path));
  return builder;
}

int ProgramBuilder::add(UniqueFd fd) {
  program_.descriptors.push_back(std::move(fd));
  return program_.descriptors.back().get();
}

Result<int> ProgramBuilder::add_copy(int fd) {
  if (fd < 0) return -1;
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return fail_errno("fcntl F_DUPFD_CLOEXEC");
  return add(std::move(copy));
}

Result<int> ProgramBuilder::add_place() {
  return add(TRY(open_file("/dev/null", O_RDONLY)));
}

void ProgramBuilder::set_conversation(const container::Program::Conversation& places) {
  program_.conversation = places;
}

Result<container::Program> ProgramBuilder::finish(const std::string& job) && {
  const int fd = add(TRY(sealed_memfd("trivet-vmm-job", job)));
  program_.env = {fmt::format("{}={}", kJobVariable, fd)};
  return std::move(program_);
}

}  // namespace trivet::payload::microvm
