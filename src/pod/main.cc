// trivet-pod-monitor: started by the library, never by hand. See supervisor.h.
#include <cstdio>
#include <malloc.h>

#include "monitor/arguments.h"
#include "pod/supervisor.h"

int main(int argc, char** argv) {
  trivet::monitor::stay_small();
  auto arguments = trivet::monitor::parse_arguments(argc, argv);
  if (!arguments) {
    std::fprintf(stderr, "trivet-pod-monitor: %s\nIt is started by trivet, not by hand.\n",
                 arguments.error().message().c_str());
    return 2;
  }
  if (!trivet::monitor::is_told_to_go(std::move(arguments->go))) return 0;
  using trivet::pod::Journal;
  using trivet::pod::Supervisor;
  return Supervisor::run({.paths = {.directories = arguments->directories, .id = arguments->id},
                          .journal = Journal::adopt(std::move(arguments->given)),
                          .sync = std::move(arguments->sync)})
             ? 0
             : 1;
}
