// Templates of machines: found in the store, or made by booting one and saving it.
#pragma once

#include "payload/microvm/initramfs.h"
#include "payload/microvm/job.h"
#include "payload/microvm/template_store.h"

namespace trivet::payload::microvm {

// A container that is made in the guest before it is saved.
struct WarmContent {
  guest::CreateRequest create;
  std::string digest;          // of all of it that matters; see warm_plan.h
  int image = -1;              // its disk, for reading only
  uint64_t scratch_bytes = 0;  // of the disk that it writes to
};

struct TemplateRequest {
  std::string vm_directory;
  const Guest& boot;
  const Job& job;  // whose machine it is
};

// A machine that is saved with its container made, if this is not the first that is asked for the
// same: what is made for one run alone is not worth its time. Nothing where it is the first, while
// another makes it, or after it could not be made. Errors: why it could not, once.
Result<std::optional<Template>> find_or_make_warm_template(const TemplateRequest& request,
                                                           const WarmContent& content);

// The machine that makes a template is as confined as any, has nothing of a container's, and ends.
// Concurrent callers wait for one another.
Result<Template> find_or_make_template(const TemplateRequest& request);

}  // namespace trivet::payload::microvm
