#include "payload/microvm/warm_plan.h"

#include <utility>

#include "base/sha256.h"
#include "oci/process_text.h"

namespace trivet::payload::microvm {

namespace {

void rename(oci::Spec& config, const std::string& to) {
  const std::string from = std::exchange(config.hostname, to);
  for (std::string& entry : config.process->env) {
    if (entry == "HOSTNAME=" + from) entry = "HOSTNAME=" + to;
  }
}

}  // namespace

WarmPlan plan_warm(oci::Spec config, const guest::CreateRequest& create) {
  WarmPlan plan{.made = create, .adopted = {}, .digest = {}};
  const std::string hostname = config.hostname;
  // Of no use in the guest: they are for the engine on the host.
  config.annotations.clear();
  if (config.root) config.root->path = "rootfs";
  rename(config, std::string(hostname.size(), 'x'));
  plan.made.interfaces.clear();
  for (guest::InlineFile& file : plan.made.files) file.content.clear();
  plan.made.hostname.clear();
  plan.made.config = oci::print_spec(config);
  plan.digest = sha256_of(guest::print(plan.made));
  // Nobody can have put this name elsewhere into what it is the digest of.
  rename(config, plan.digest.substr(0, hostname.size()));
  plan.made.config = oci::print_spec(config);
  plan.made.hostname = config.hostname;
  plan.adopted.config = "{}";  // nobody reads it, but a request has one
  plan.adopted.hostname = hostname;
  plan.adopted.files = create.files;
  plan.adopted.interfaces = create.interfaces;
  return plan;
}

}  // namespace trivet::payload::microvm
