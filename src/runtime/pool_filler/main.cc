// trivet-pool-filler: started by the library, never by hand. Prepares what a pool lacks, and ends:
// see runtime/pool_fill.h. `--hold yes` waits for another that does so, instead of leaving it.
#include <csignal>
#include <cstdio>
#include <unistd.h>

#include "image/store.h"
#include "monitor/arguments.h"
#include "monitor/attach.h"
#include "monitor/process.h"
#include "runtime/pool_fill.h"

namespace {

using trivet::Result;

Result<> fill(const trivet::monitor::Arguments& arguments) {
  using namespace trivet::runtime;
  TRY(trivet::monitor::detach_from_caller());
  const Home home {
    .directories = arguments.directories,
    .store = TRY(trivet::image::Store::open(arguments.directories.data))
  };
  return fill_pool(home, arguments.id, arguments.hold ? Patience::kWait : Patience::kTry);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace trivet::monitor;
  auto arguments = parse_arguments({argv + 1, argv + argc});
  if (!arguments) {
    std::fprintf(stderr, "trivet-pool-filler: %s\nIt is started by trivet, not by hand.\n",
                 arguments.error().message().c_str());
    return 2;
  }
  if (!is_told_to_go(std::move(arguments->go))) return 0;
  const Result<> filled = fill(*arguments);
  if (!arguments->sync) return filled ? 0 : 1;
  // Nobody may be there to read it.
  std::signal(SIGPIPE, SIG_IGN);
  const std::string line = filled ? print_started(getpid()) : print_start_failure(filled.error());
  (void)!::write(arguments->sync.get(), line.data(), line.size());
  return filled ? 0 : 1;
}
