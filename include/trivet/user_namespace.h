// What programs of ordinary users call first. As root nothing of this is needed.
#pragma once

#include <string>

#include "trivet/engine.h"
#include "trivet/export.h"
#include "trivet/result.h"

namespace trivet {

// Makes the calling process root of a user namespace which all of the user's containers share, with
// the user's subordinate ids (subuid(5)) where there are any, so that an Engine works as it does
// for root. To be called before the process has a second thread and before anything else of trivet;
// as root it does nothing. Programs that it executes later are in the namespace, too. Of the
// options only state_dir matters. Returns a remark for people, or nothing. kUnsupported: the host
// forbids user namespaces.
TRIVET_API Result<std::string> enter_user_namespace(const EngineOptions& options = {});

}  // namespace trivet
