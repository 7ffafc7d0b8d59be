// The program trivet-vmm for a shell, with what it is told and the descriptors that go with it.
#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "container/container.h"

namespace trivet::payload::microvm {

class ProgramBuilder {
 public:
  // kUnsupported, with a hint, when it is not installed.
  static Result<ProgramBuilder> make();

  // Hands a descriptor over; the number that the program knows it by.
  int add(UniqueFd fd);
  // A duplicate: the descriptor stays its owner's. -1 stays -1.
  Result<int> add_copy(int fd);
  // A number that gets its meaning later.
  Result<int> add_place();
  void set_conversation(const container::Program::Conversation& places);

  Result<container::Program> finish(const std::string& job) &&;

 private:
  container::Program program_;
};

}  // namespace trivet::payload::microvm
