// trivet-monitor: started by the library, never by hand. See process.h.
#include <cstdio>

#include "linux/network_namespace.h"
#include "monitor/arguments.h"
#include "monitor/process.h"

int main(int argc, char** argv) {
  using namespace trivet::monitor;
  stay_small();
  auto arguments = parse_arguments(argc, argv);
  if (!arguments) {
    std::fprintf(stderr, "trivet-monitor: %s\nIt is started by trivet, not by hand.\n",
                 arguments.error().message().c_str());
    return 2;
  }

  MonitorOptions options{.directories = std::move(arguments->directories),
                         .id = std::move(arguments->id),
                         .attach = std::move(arguments->given),
                         .hold = arguments->hold};
  // While we wait. When it fails, so will the clone that then has to make one, and say why.
  if (arguments->own_network)
    options.network = trivet::make_network_namespace().value_or(trivet::UniqueFd());
  if (!is_told_to_go(std::move(arguments->go))) return 0;
  return run_monitor(std::move(options), std::move(arguments->sync)) ? 0 : 1;
}
