// Runs the contract of GuestTransport in a guest that the environment names:
//   TRIVET_CONTRACT_CONTAINER        by the agent: a running container of the default runtime
//   TRIVET_CONTRACT_ENDPOINT, …_KEY, …_KNOWN_HOSTS   by SSH
// and TRIVET_CONTRACT_USER and …_WORKDIR, which commands have there.
#include <cstdio>
#include <optional>

#include <gtest/gtest.h>

#include "contract/environment.h"
#include "contract/transport_contract.h"
#include "trivet/runtime.h"

namespace trivet::transport {

namespace {

std::optional<Guest> the_guest;

using contract::environment;

Result<std::function<std::unique_ptr<GuestTransport>()>> connection() {
  if (const std::string container = environment("TRIVET_CONTRACT_CONTAINER"); !container.empty()) {
    const Runtime runtime = TRY(Runtime::open({.runtime = "native", .engine = {}}));
    return [runtime, container] { return make_agent_transport(runtime, container); };
  }
  const auto endpoint = TRY(SshEndpoint::parse(environment("TRIVET_CONTRACT_ENDPOINT")));
  const SshOptions options{.endpoint = [endpoint] { return Result<SshEndpoint>(endpoint); },
                           .identity_file = environment("TRIVET_CONTRACT_KEY"),
                           .known_hosts = environment("TRIVET_CONTRACT_KNOWN_HOSTS"),
                           .user = environment("TRIVET_CONTRACT_USER"),
                           .workdir = environment("TRIVET_CONTRACT_WORKDIR"),
                           .connect_timeout = std::chrono::seconds(60)};
  TRY(make_ssh_transport(options));
  return [options] { return make_ssh_transport(options).value(); };
}

Result<Guest> find_guest() {
  return Guest {
    .connect = TRY(connection())
    , .user = environment("TRIVET_CONTRACT_USER"),
        .workdir = environment("TRIVET_CONTRACT_WORKDIR"),
        .missing_is_an_error = !environment("TRIVET_CONTRACT_CONTAINER").empty(),
        .is_text_only = !environment("TRIVET_CONTRACT_TEXT_ONLY").empty(),
        .patience = contract::patience()
  };
}

}  // namespace

Guest* guest() {
  return &*the_guest;
}

std::string missing_guest() {
  return "";
}

}  // namespace trivet::transport

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto found = trivet::transport::find_guest();
  if (!found) {
    std::fprintf(stderr, "trivet-transport-contract: %s\n", found.error().message().c_str());
    return 2;
  }
  trivet::transport::the_guest.emplace(std::move(*found));
  return RUN_ALL_TESTS();
}
