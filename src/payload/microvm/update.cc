#include "payload/microvm/update.h"

#include "base/json.h"
#include "payload/microvm/control.h"
#include "payload/microvm/jail.h"

namespace trivet::payload::microvm {

namespace {

// linux.resources as JSON.
Result<std::string> print_resources(const oci::Resources& resources) {
  oci::Spec spec;
  spec.linux_config.emplace().resources = resources;
  const Json document = TRY(parse_json(oci::print_spec(spec), "resources"));
  return document.at("linux").at("resources").dump();
}

Result<> check_memory(const oci::Resources& resources, uint64_t total) {
  if (!resources.memory || !resources.memory->limit) return {};
  const int64_t limit = *resources.memory->limit;
  if (limit < 0 || static_cast<uint64_t>(limit) <= total) return {};
  return fail(ErrorCode::kLimitExceeded,
              "memory.limit: {} bytes, but the microVM was made with {} and can't grow", limit,
              total);
}

}  // namespace

Result<> update_machine(container::Container& container, const oci::Resources& resources) {
  if (resources.cpu && (!resources.cpu->cpus.empty() || !resources.cpu->mems.empty())) {
    return fail(ErrorCode::kUnsupported,
                "cpu.cpus, cpu.mems: the processors of a microVM that runs can't be changed");
  }
  Control control = TRY(Control::connect(container.init()));
  TRY(check_memory(resources, memory_in_jail(TRY(container.load_shell()))));

  oci::Resources inside;
  inside.memory = resources.memory;
  if (inside.memory) inside.memory->swap.reset();  // a guest has none
  inside.pids_limit = resources.pids_limit;
  inside.unified = resources.unified;
  if (inside.memory || inside.pids_limit || !inside.unified.empty()) {
    TRY_IN(control.update(TRY(print_resources(inside))), "the guest");
  }
  oci::Resources outside;
  outside.cpu = resources.cpu;
  outside.block_io = resources.block_io;
  if (!outside.cpu && !outside.block_io) return {};
  return container.update(outside);
}

}  // namespace trivet::payload::microvm
