// A monitor without a program of its own: a copy of the caller, made before there is a container.
#pragma once

#include <sys/types.h>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "monitor/control.h"

namespace trivet::monitor {

class Spare {
 public:
  // The copy is in a session of its own, with no other descriptors than 0 to 2 and with signals as
  // a new program has them. Never returns in it.
  static Result<Spare> make();
  Spare(const Spare&) = delete;
  Spare& operator=(const Spare&) = delete;
  Spare(Spare&&) = default;
  Spare& operator=(Spare&&) = delete;
  // One that nobody needs ends, and is waited for.
  ~Spare();

  // From now on it is the container's monitor; `program` is not looked at. An error: it has gone,
  // and nothing was done.
  Result<MonitorStarting> become(const MonitorStart& start) &&;

 private:
  Spare(pid_t pid, UniqueFd sync, UniqueFd go)
      : pid_(pid), sync_(std::move(sync)), go_(std::move(go)) {}

  pid_t pid_;
  UniqueFd sync_;
  UniqueFd go_;  // not any more: it is a monitor
};

}  // namespace trivet::monitor
