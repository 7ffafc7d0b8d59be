// trivet-pod-monitor: started by the library, never by hand. See supervisor.h.
#include <cstdio>
#include <malloc.h>

#include "base/fs.h"
#include "monitor/arguments.h"
#include "pod/remove.h"
#include "pod/supervisor.h"

namespace {

// Whoever was making it has given up and removed it, or was killed, and then it is ours to remove.
// Should that fail, the next command does it.
void remove_abandoned(const trivet::pod::PodPaths& paths, trivet::UniqueFd journal) {
  if (!trivet::exists(paths.data())) return;
  (void)trivet::pod::remove_pod(paths, trivet::pod::Journal::adopt(std::move(journal)));
}

}  // namespace

int main(int argc, char** argv) {
  trivet::monitor::stay_small();
  auto arguments = trivet::monitor::parse_arguments({argv + 1, argv + argc});
  if (!arguments) {
    std::fprintf(stderr, "trivet-pod-monitor: %s\nIt is started by trivet, not by hand.\n",
                 arguments.error().message().c_str());
    return 2;
  }
  const trivet::pod::PodPaths paths{.directories = arguments->directories, .id = arguments->id};
  if (!trivet::monitor::is_told_to_go(std::move(arguments->go))) {
    remove_abandoned(paths, std::move(arguments->given));
    return 0;
  }
  using trivet::pod::Journal;
  using trivet::pod::Supervisor;
  return Supervisor::run({.paths = paths,
                          .journal = Journal::adopt(std::move(arguments->given)),
                          .sync = std::move(arguments->sync)})
             ? 0
             : 1;
}
