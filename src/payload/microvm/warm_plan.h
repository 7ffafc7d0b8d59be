// What a container is made of before its machine is saved, and what each one is given afterwards.
//
// Two containers of the same command line differ in their host name, in the files that tell it and
// the name servers, and in their network. The guest is saved without those: a host name of the same
// length takes the place of theirs, in the variable HOSTNAME, too; the files are empty.
#pragma once

#include <string>

#include "guest/messages.h"
#include "oci/spec.h"

namespace trivet::payload::microvm {

struct WarmPlan {
  guest::CreateRequest made;     // the same for all that have `digest`
  guest::CreateRequest adopted;  // what is the container's own
  std::string digest;            // of `made`
};
// `config` is the configuration that `create` has as text. Pure.
[[nodiscard]] WarmPlan plan_warm(oci::Spec config, const guest::CreateRequest& create);

}  // namespace trivet::payload::microvm
