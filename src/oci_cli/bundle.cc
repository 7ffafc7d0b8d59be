#include "oci_cli/bundle.h"

#include <array>
#include <cstdlib>
#include <limits.h>

#include "base/fs.h"
#include "base/paths.h"
#include "base/text.h"

namespace trivet::oci_cli {

using container::CreateOptions;

namespace {

Result<std::string> absolute_path(const std::string& path) {
  std::array<char, PATH_MAX> buffer{};
  if (realpath(path.c_str(), buffer.data()) == nullptr) return fail_errno("bundle \"{}\"", path);
  return std::string(buffer.data());
}

std::function<void(const std::string&)> warning_sink(const Globals& globals) {
  return [&globals](const std::string& text) {
    if (globals.log.warnings) write_log(globals.log, "warning", text);
  };
}

}  // namespace

Result<Bundle> read_bundle(const Arguments& arguments) {
  Bundle bundle;
  bundle.directory = TRY(absolute_path(arguments.get("bundle", ".")));
  const std::string config = arguments.get("config", bundle.directory + "/config.json");
  auto text = read_file(config);
  if (!text) {
    return std::unexpected(std::move(text)
                               .error()
                               .in(fmt::format("bundle \"{}\"", bundle.directory))
                               .hint("\"trivet-oci spec\" writes an example config.json"));
  }
  bundle.config_json = std::move(*text);
  bundle.spec = TRY_IN(oci::parse_spec(bundle.config_json), "\"{}\"", config);
  return bundle;
}

Result<> choose_payload(const Globals& globals, const Arguments& arguments, Starter starter,
                        Bundle& bundle) {
  const payload::Choice choice = TRY(payload::choose({.requested = arguments.get("isolation"),
                                                      .annotations = bundle.spec.annotations,
                                                      .program_name = globals.program_name}));
  payload::Request request{.spec = bundle.spec,
                           .bundle = bundle.directory,
                           .data_directory = default_data_dir(),
                           .choice = choice,
                           .wasm_cache = wasm_cache_directory(),
                           .seccomp_cache = default_state_dir() + "/seccomp",
                           .creator_starts = starter == Starter::kCreator,
                           .on_warning = warning_sink(globals)};
  request.vm.experimental = arguments.has("experimental");
  bundle.payload = TRY(payload::prepare(request));
  return {};
}

Result<CreateOptions> create_options(const Globals& globals, const Arguments& arguments,
                                     const Bundle& bundle) {
  CreateOptions options;
  options.state_root = globals.root;
  options.id = arguments.operands()[0];
  options.bundle = bundle.directory;
  if (bundle.payload) options.program = &bundle.payload->program;
  options.config_json = bundle.config_json;
  TRY(read_process_options(arguments, options));
  options.no_pivot = arguments.has("no-pivot");
  options.no_new_keyring = arguments.has("no-new-keyring");
  options.cgroup_driver = globals.cgroup_driver;
  options.on_warning = warning_sink(globals);
  return options;
}

}  // namespace trivet::oci_cli
