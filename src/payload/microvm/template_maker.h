// Templates of machines: found in the store, or made by booting one and saving it.
#pragma once

#include "payload/microvm/initramfs.h"
#include "payload/microvm/job.h"
#include "payload/microvm/template_store.h"

namespace trivet::payload::microvm {

struct TemplateRequest {
  std::string vm_directory;
  const Guest& boot;
  const Job& job;  // whose machine it is
};

// The machine that makes a template is as confined as any, has nothing of a container's, and ends.
// Concurrent callers wait for one another.
Result<Template> find_or_make_template(const TemplateRequest& request);

}  // namespace trivet::payload::microvm
