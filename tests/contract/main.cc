// Runs the contract against the engine that the environment names: TRIVET_CONTRACT_RUNTIME, with
// TRIVET_CONTRACT_IMAGE and TRIVET_CONTRACT_PROBE in it. TRIVET_DATA_DIR and TRIVET_STATE_DIR say
// where it is.
#include <cstdio>
#include <optional>

#include "contract.h"
#include "contract/environment.h"

namespace trivet::contract {

namespace {

std::optional<Bench> the_bench;

Result<Bench> open_bench() {
  const std::string name = environment("TRIVET_CONTRACT_RUNTIME", "null");
  const std::string image = environment("TRIVET_CONTRACT_IMAGE", "docker.io/library/probe:latest");
  const std::string program = environment("TRIVET_CONTRACT_PROBE", "/probe");
  if (name != "null") {
    return Bench {
      .null = nullptr, .runtime = TRY(Runtime::open({.runtime = name, .engine = {}}))
      , .image = image, .probe = program, .files_are_hidden = name == "microvm",
          .patience = patience()
    };
  }
  auto null = std::make_shared<NullRuntime>();
  null->add_image({.names = {image},
                   .size = 1,
                   .created = std::chrono::system_clock::now(),
                   .labels = {{"purpose", "contract"}}},
                  {{.created_by = "layer 1"}, {.created_by = "layer 0"}});
  return Bench{.null = null,
               .runtime = Runtime(null),
               .image = image,
               .probe = program,
               .patience = patience()};
}

}  // namespace

Bench& bench() {
  return *the_bench;
}

}  // namespace trivet::contract

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto opened = trivet::contract::open_bench();
  if (!opened) {
    std::fprintf(stderr, "trivet-contract: %s\n", opened.error().message().c_str());
    return 2;
  }
  trivet::contract::the_bench.emplace(std::move(*opened));
  return RUN_ALL_TESTS();
}
