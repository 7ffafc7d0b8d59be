// trivet-vminit: PID 1 of a microVM, and its agent.
#include "guest/protocol.h"
#include "guest/vminit/agent.h"
#include "guest/vminit/boot.h"
#include "guest/vminit/console.h"

namespace trivet::guest {

namespace {

Result<> boot_and_serve() {
  TRY(mount_early_file_systems());
  load_modules();
  UniqueFd port = TRY(open_port(kAgentPort));
  UniqueFd infra = open_infra();
  TRY(switch_root());
  TRY(mount_file_systems());
  cgroup::Layout cgroups = TRY(enable_controllers());
  TRY(overcommit_memory());
  TRY(raise_loopback());
  Agent agent(TRY(EventLoop::create()), Port(std::move(port)), std::move(infra),
              std::move(cgroups));
  return std::unexpected(agent.serve());
}

}  // namespace

}  // namespace trivet::guest

int main() {
  const auto ended = trivet::guest::boot_and_serve();
  trivet::guest::give_up(ended.error());
}
