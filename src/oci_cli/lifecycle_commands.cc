#include <array>
#include <signal.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/paths.h"
#include "base/text.h"
#include "container/container.h"
#include "oci_cli/bundle.h"
#include "oci_cli/commands.h"
#include "oci_cli/selection.h"

namespace trivet::oci_cli {

namespace {

using container::Container;
using container::CreateOptions;

// `--timing`: collects while the object lives, prints when it is told to.
class TimingReport {
 public:
  static Result<TimingReport> open(const Arguments& arguments) {
    TimingReport report;
    report.format_ = arguments.get("timing");
    if (report.format_.empty() || report.format_ == "text" || report.format_ == "json") {
      return report;
    }
    return fail(ErrorCode::kInvalidArgument, "--timing: \"{}\" is neither text nor json",
                report.format_);
  }

  // Null when nothing is asked for.
  [[nodiscard]] container::Timing* timing() { return format_.empty() ? nullptr : &timing_; }

  // To stderr, because stdout is the container's.
  void print() const {
    if (format_.empty()) return;
    const std::string text = format_ == "json" ? as_json() : as_text();
    (void)write_all(STDERR_FILENO, text, "stderr");
  }

 private:
  static const char* where_name(const container::StepTime& entry) {
    return entry.where == container::StepTime::Where::kInit ? "init" : "runtime";
  }
  [[nodiscard]] std::string as_text() const {
    std::string text = fmt::format("{:>8}  {:<8} {}\n", "us", "where", "step");
    for (const container::StepTime& entry : timing_) {
      text += fmt::format("{:>8}  {:<8} {}\n", entry.microseconds, where_name(entry), entry.step);
    }
    return text;
  }
  [[nodiscard]] std::string as_json() const {
    Json steps = Json::array();
    for (const container::StepTime& entry : timing_) {
      steps.push_back({{"where", where_name(entry)},
                       {"step", entry.step},
                       {"microseconds", entry.microseconds}});
    }
    return steps.dump() + "\n";
  }

  std::string format_;
  container::Timing timing_;
};

Result<int> print_plan(const Bundle& bundle, const CreateOptions& options) {
  const std::string plan = TRY(Container::print_plan(bundle.shell(), options));
  TRY(write_all(STDOUT_FILENO, plan, "stdout"));
  return 0;
}

Error in_create(Error error, const std::string& id) {
  return std::move(error).in(fmt::format("cannot create container \"{}\"", id));
}

Result<Container> load(const Globals& globals, const std::string& id) {
  Container container = TRY(Container::load(globals.root, id));
  container.on_warning([&globals](const std::string& text) { report_warning(globals.log, text); });
  return container;
}

// Starts and waits; whatever happens, the container goes at the end unless it is to be kept.
// `payload` is released once the program runs: to close its detached mount takes the kernel a
// while, which then passes beside the program.
Result<int> start_and_wait(Container& container, TimingReport& report,
                           std::optional<payload::Prepared>& payload) {
  TRY_IN(container.start(report.timing()), "cannot start container \"{}\"", container.id());
  payload.reset();
  report.print();
  const UniqueFd console = container.take_console();
  return wait_in_foreground(container.init_pidfd(), console.get());
}

}  // namespace

std::string wasm_cache_directory() {
  return default_data_dir() + "/wasm";
}

Result<int> command_create(const Globals& globals, const Arguments& arguments) {
  Bundle bundle = TRY(read_bundle(arguments));
  if (auto chosen = choose_payload(globals, arguments, Starter::kAnyone, bundle); !chosen) {
    return std::unexpected(in_create(std::move(chosen).error(), arguments.operands()[0]));
  }
  TimingReport report = TRY(TimingReport::open(arguments));
  CreateOptions options = TRY(create_options(globals, arguments, bundle));
  options.timing = report.timing();
  if (arguments.has("dry-run")) return print_plan(bundle, options);
  if (bundle.spec.process && bundle.spec.process->terminal && options.console_socket.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot create container \"{}\": process.terminal needs --console-socket",
                options.id);
  }
  if (!options.console_socket.empty() && bundle.spec.process && !bundle.spec.process->terminal) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot create container \"{}\": --console-socket needs process.terminal",
                options.id);
  }
  auto container = Container::create(bundle.shell(), options);
  if (!container) return std::unexpected(in_create(std::move(container).error(), options.id));
  report.print();
  return 0;
}

Result<int> command_run(const Globals& globals, const Arguments& arguments) {
  Bundle bundle = TRY(read_bundle(arguments));
  if (auto chosen = choose_payload(globals, arguments, Starter::kCreator, bundle); !chosen) {
    return std::unexpected(in_create(std::move(chosen).error(), arguments.operands()[0]));
  }
  TimingReport report = TRY(TimingReport::open(arguments));
  CreateOptions options = TRY(create_options(globals, arguments, bundle));
  options.timing = report.timing();
  if (arguments.has("dry-run")) return print_plan(bundle, options);
  options.start_by = CreateOptions::StartBy::kCreator;
  const bool detach = arguments.has("detach");
  if (detach && bundle.spec.process && bundle.spec.process->terminal &&
      options.console_socket.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "cannot run container \"{}\": a detached terminal needs --console-socket",
                options.id);
  }
  if (!detach) TRY(block_forwarded_signals());
  auto container = Container::create(bundle.shell(), options);
  if (!container) return std::unexpected(in_create(std::move(container).error(), options.id));
  container->on_warning([&globals](const std::string& text) { report_warning(globals.log, text); });
  if (detach) {
    if (auto started = container->start(report.timing()); !started) {
      (void)container->remove(Container::Force::kYes);
      return std::unexpected(std::move(started).error());
    }
    report.print();
    return 0;
  }
  auto exit_code = start_and_wait(*container, report, bundle.payload);
  if (arguments.has("keep")) return exit_code;
  auto removed = container->remove(Container::Force::kYes);
  if (!removed && exit_code) return std::unexpected(std::move(removed).error());
  if (!removed) return std::unexpected(std::move(exit_code).error().note(removed.error()));
  return exit_code;
}

Result<int> command_start(const Globals& globals, const Arguments& arguments) {
  Container container = TRY(load(globals, arguments.operands()[0]));
  TRY_IN(container.start(), "cannot start container \"{}\"", container.id());
  return 0;
}

Result<int> command_state(const Globals& globals, const Arguments& arguments) {
  const Container container = TRY(load(globals, arguments.operands()[0]));
  TRY(write_all(STDOUT_FILENO, oci::print_state(container.state()) + "\n", "stdout"));
  return 0;
}

Result<int> command_kill(const Globals& globals, const Arguments& arguments) {
  const auto& operands = arguments.operands();
  const int signal = TRY(parse_signal(operands.size() > 1 ? operands[1] : "TERM"));
  TRY(act_on_selected(globals, arguments, [&](const std::string& id) -> Result<> {
    Container container = TRY(load(globals, id));
    return arguments.has("all") ? container.kill_all(signal) : container.kill(signal);
  }));
  return 0;
}

Result<int> command_delete(const Globals& globals, const Arguments& arguments) {
  const bool force = arguments.has("force");
  TRY(act_on_selected(globals, arguments, [&](const std::string& id) -> Result<> {
    auto container = load(globals, id);
    if (container) return container->remove(force ? Container::Force::kYes : Container::Force::kNo);
    if (!force) return std::unexpected(std::move(container).error());
    return Container::force_remove(globals.root, id);  // what a crash left, if anything
  }));
  return 0;
}

Result<int> command_pause(const Globals& globals, const Arguments& arguments) {
  Container container = TRY(load(globals, arguments.operands()[0]));
  TRY(container.pause());
  return 0;
}

Result<int> command_resume(const Globals& globals, const Arguments& arguments) {
  Container container = TRY(load(globals, arguments.operands()[0]));
  TRY(container.resume());
  return 0;
}

}  // namespace trivet::oci_cli
