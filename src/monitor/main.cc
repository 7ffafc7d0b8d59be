// trivet-monitor: started by the library, never by hand. See process.h.
#include <cstdio>

#include "monitor/arguments.h"
#include "monitor/process.h"

int main(int argc, char** argv) {
  using namespace trivet::monitor;
  stay_small();
  auto arguments = parse_arguments({argv + 1, argv + argc});
  if (!arguments) {
    std::fprintf(stderr, "trivet-monitor: %s\nIt is started by trivet, not by hand.\n",
                 arguments.error().message().c_str());
    return 2;
  }
  return live(std::move(*arguments)) ? 0 : 1;
}
