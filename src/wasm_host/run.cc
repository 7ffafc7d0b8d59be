#include "wasm_host/run.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "payload/wasm/report.h"
#include "wasm_host/engine.h"
#include "wasm_host/invoke.h"
#include "wasm_host/syscall_filter.h"

// third_party/wasmtime/src/lib.rs: what the C API lacks.
extern "C" void trivet_wasi_config_allow_sockets(wasi_config_t* config);
extern "C" void trivet_wasi_config_wait_in_caller(wasi_config_t* config);
extern "C" void trivet_use_one_thread();

namespace trivet::wasm_host {

namespace {

namespace wasm = payload::wasm;
using wasm::Outcome;

constexpr int64_t kMaxTableElements = 10'000'000;
constexpr int64_t kMaxInstances = 10'000;
constexpr int64_t kMaxTables = 10'000;
constexpr int64_t kMaxMemories = 100;

// ---- the report, which signal handlers and the timer write too

std::atomic<wasm::ReportPage*> report_page{nullptr};

void open_report(int fd) {
  if (fd < 0) return;
  void* page = mmap(nullptr, sizeof(wasm::ReportPage), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page == MAP_FAILED) return;
  auto* report = static_cast<wasm::ReportPage*>(page);
  report->magic = wasm::kReportMagic;
  report->outcome = Outcome::kRunning;
  report_page = report;
}

void report_outcome(Outcome outcome, std::string_view message = {}) {
  wasm::ReportPage* report = report_page.load();
  if (report == nullptr) return;
  report->message_size = static_cast<uint32_t>(std::min(message.size(), sizeof report->message));
  std::memcpy(report->message, message.data(), report->message_size);
  report->outcome = outcome;
}

// ---- ends that don't come from the module

// A module has no signals, so the ones that end a program by default end it; as PID 1 the host
// would not get them without a handler.
void end_by_signal(int signal) {
  report_outcome(Outcome::kSignal);
  _exit(128 + signal);
}

void install_signal_handlers() {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM}) {
    struct sigaction action{};
    action.sa_handler = end_by_signal;
    sigaction(signal, &action, nullptr);
  }
  std::signal(SIGPIPE, SIG_IGN);
}

// Ends the process, wherever it is: a module that waits in a call of WASI would not see an epoch
// pass, and one that is compiled to look at epochs is slower.
void start_timer(std::chrono::milliseconds timeout) {
  if (timeout.count() == 0) return;
  std::thread([timeout] {
    std::this_thread::sleep_for(timeout);
    const std::string why = fmt::format("timeout: still running after {} ms", timeout.count());
    report_outcome(Outcome::kTimeout, why);
    complain(why);
    _exit(wasm::kExitTimeout);
  }).detach();
}

// ---- the program

struct Ending {
  int exit_code = 0;
  Outcome outcome = Outcome::kExited;
  std::string why;        // empty when it ended by itself
  std::string backtrace;  // further lines for stderr
};

Ending not_executable(std::string why) {
  return {.exit_code = wasm::kExitNotExecutable, .outcome = Outcome::kTrap, .why = std::move(why)};
}

Ending out_of_fuel() {
  return {.exit_code = wasm::kExitOutOfFuel, .outcome = Outcome::kOutOfFuel, .why = "out of fuel"};
}

// Wasmtime tells the frames first and the cause at the end; people look for the cause.
Ending trapped(const std::string& text) {
  constexpr std::string_view kCause = "wasm trap: ";
  constexpr std::string_view kFrames = "wasm backtrace:\n";
  constexpr size_t kMaxFrames = 8;
  const size_t cause = text.rfind(kCause);
  Ending ending{.exit_code = wasm::kExitTrap, .outcome = Outcome::kTrap};
  if (cause == std::string::npos) {
    ending.why = fmt::format("trap: {}", trim(text));
    return ending;
  }
  const std::string_view words = std::string_view(text).substr(cause + kCause.size());
  ending.why = fmt::format("trap: {}", trim(words.substr(0, words.find('\n'))));
  const size_t frames = text.find(kFrames);
  if (frames == std::string::npos) return ending;
  size_t shown = 0;
  for (const std::string& line :
       split(std::string_view(text).substr(frames + kFrames.size()), '\n')) {
    if (trim(line).empty() || ++shown > kMaxFrames) break;
    ending.backtrace += fmt::format("  {}\n", trim(line));
  }
  return ending;
}

Ending from_error(const wasmtime::Error& error) {
  if (const auto status = error.i32_exit()) return {.exit_code = *status};
  const std::string text = error.message();
  // A component's traps come without their code.
  if (text.find("all fuel consumed") != std::string::npos) return out_of_fuel();
  if (text.find("exceeds memory limit") != std::string::npos) {
    return {.exit_code = wasm::kExitOutOfMemory,
            .outcome = Outcome::kOutOfMemory,
            .why = "out of memory: " + text};
  }
  if (text.find("unknown import") != std::string::npos ||
      text.find("incompatible import type") != std::string::npos ||
      text.find("matching implementation was not found") != std::string::npos) {
    return not_executable(text);
  }
  return trapped(text);
}

Ending from_trap(const wasmtime::Trap& trap) {
  if (trap.code() == WASMTIME_TRAP_CODE_OUT_OF_FUEL) return out_of_fuel();
  return trapped(trap.message());
}

Ending from_failure(const wasmtime::TrapError& failure) {
  if (const auto* trap = std::get_if<wasmtime::Trap>(&failure.data)) return from_trap(*trap);
  return from_error(std::get<wasmtime::Error>(failure.data));
}

wasmtime::WasiConfig make_wasi(const wasm::Job& job, const Program& program) {
  wasmtime::WasiConfig config;
  config.argv(program.args);
  std::vector<std::pair<std::string, std::string>> env;
  for (const std::string& entry : program.env) {
    const size_t end = std::min(entry.find('='), entry.size());
    env.emplace_back(entry.substr(0, end), end < entry.size() ? entry.substr(end + 1) : "");
  }
  config.env(env);
  config.inherit_stdin();
  config.inherit_stdout();
  config.inherit_stderr();
  (void)config.preopen_dir("/", "/", !job.read_only);
  config.inherit_network();  // the container's
  trivet_wasi_config_allow_sockets(config.capi());
  trivet_wasi_config_wait_in_caller(config.capi());
  config.allow_ip_name_lookup(true);
  return config;
}

// Whether the module may wait for something other than a file: for a time, several things at once,
// or a socket.
bool may_wait_for_events(const wasmtime::Module& module) {
  return std::ranges::any_of(module.imports(), [](const auto& import) {
    return import.name() == "poll_oneoff" || import.name().starts_with("sock_");
  });
}

// One loaded program of either kind.
class Host {
 public:
  Host(const wasm::Job& job, const Program& program)
      : job_(job),
        program_(program),
        engine_(
            make_engine(job.limits.fuel ? wasm::Fuel::kCounted : wasm::Fuel::kOff, Purpose::kRun)),
        store_(engine_) {}

  Ending run() {
    store_.limiter(static_cast<int64_t>(job_.limits.memory_bytes), kMaxTableElements, kMaxInstances,
                   kMaxTables, kMaxMemories);
    if (job_.limits.fuel) (void)store_.context().set_fuel(*job_.limits.fuel).ok();
    if (auto set = store_.context().set_wasi(make_wasi(job_, program_)); !set) {
      return not_executable(set.err().message());
    }
    Ending ending = job_.component ? run_component() : run_module();
    if (exit_code_) ending = {.exit_code = *exit_code_};
    note_usage(ending);
    return ending;
  }

 private:
  template <typename Code>
  Result<Code> load() {
    if (fchdir(job_.code_directory) != 0) return fail_errno("enter the code's directory");
    auto code = Code::deserialize_file(engine_, job_.code);
    // The program's own working directory means nothing to WASI.
    if (chdir("/") != 0) return fail_errno("chdir \"/\"");
    close(job_.code_directory);
    if (!code) {
      return fail(ErrorCode::kCorrupt, "the compiled code can't be loaded: {}",
                  code.err().message());
    }
    TRY(install_run_filter());
    return std::move(code).ok();
  }

  Ending run_module() {
    auto module = load<wasmtime::Module>();
    if (!module) return not_executable(module.error().message());
    if (!may_wait_for_events(*module)) trivet_use_one_thread();
    wasmtime::Linker linker(engine_);
    if (auto defined = linker.define_wasi(); !defined) {
      return not_executable(defined.err().message());
    }
    define_exit(linker);
    auto instance = linker.instantiate(store_, *module);
    if (!instance) return from_failure(instance.err_ref());
    if (auto item = instance.ok_ref().get(store_, "memory")) {
      if (auto* memory = std::get_if<wasmtime::Memory>(&*item)) memory_ = *memory;
    }
    return call(instance.ok_ref());
  }

  // Wasmtime's own refuses codes from 126 on.
  void define_exit(wasmtime::Linker& linker) {
    linker.allow_shadowing(true);
    for (const char* version : {"wasi_snapshot_preview1", "wasi_unstable"}) {
      (void)linker.func_wrap(
          version, "proc_exit",
          [this](int32_t code) -> wasmtime::Result<std::monostate, wasmtime::Trap> {
            exit_code_ = code & 0xFF;
            return wasmtime::Trap("exit");
          });
    }
  }

  Ending call(wasmtime::Instance& instance) {
    const std::string name = job_.invoke.empty() ? "_start" : job_.invoke;
    const auto function = [&](std::string_view export_name) -> std::optional<wasmtime::Func> {
      auto item = instance.get(store_, export_name);
      if (!item) return std::nullopt;
      if (auto* found = std::get_if<wasmtime::Func>(&*item)) return *found;
      return std::nullopt;
    };
    const auto entry = function(name);
    if (!entry) return not_executable(fmt::format("the module exports no function \"{}\"", name));
    if (!job_.invoke.empty()) {
      // A library wants to be initialized first.
      if (const auto initialize = function("_initialize")) {
        if (auto done = initialize->call(store_, {}); !done) return from_failure(done.err_ref());
      }
    }
    const std::span<const std::string> words =
        job_.invoke.empty() ? std::span<const std::string>{} : std::span(program_.args).subspan(1);
    auto values = parse_values(entry->type(store_), words);
    if (!values) {
      return not_executable(fmt::format("function \"{}\": {}", name, values.error().message()));
    }
    auto results = entry->call(store_, *values);
    if (!results) return from_failure(results.err_ref());
    const std::string text = print_values(results.ok_ref());
    (void)!write(STDOUT_FILENO, text.data(), text.size());
    return {};
  }

  Ending run_component() {
    auto component = load<wasmtime::component::Component>();
    if (!component) return not_executable(component.error().message());
    wasmtime::component::Linker linker(engine_);
    auto defined = linker.add_wasip2();
    if (defined) {
      wasmtime_context_set_wasi_http(store_.context().capi());
      defined = linker.add_wasi_http();
    }
    if (!defined) return not_executable(defined.err().message());
    auto instance = linker.instantiate(store_, *component);
    if (!instance) return from_error(instance.err_ref());
    if (!job_.invoke.empty()) {
      return not_executable("an exported function of a component can't be invoked by its name");
    }
    const auto command = instance.ok_ref().get_export_index(store_, nullptr, "wasi:cli/run@0.2.0");
    if (!command) {
      const bool server = instance.ok_ref()
                              .get_export_index(store_, nullptr, "wasi:http/incoming-handler@0.2.0")
                              .has_value();
      return not_executable(
          server ? "the component is an HTTP server (wasi:http/incoming-handler), which this build "
                   "can't serve: Wasmtime's C API has no means for it"
                 : "the component exports no wasi:cli/run");
    }
    const auto index = instance.ok_ref().get_export_index(store_, &*command, "run");
    const auto run = index ? instance.ok_ref().get_func(store_, *index) : std::nullopt;
    if (!run) return not_executable("the component's wasi:cli/run has no function run");
    wasmtime_component_val_t result{};
    wasmtime_error_t* error =
        wasmtime_component_func_call(run->capi(), store_.context().capi(), nullptr, 0, &result, 1);
    if (error != nullptr) return from_error(wasmtime::Error(error));
    const bool failed = result.kind == WASMTIME_COMPONENT_RESULT && !result.of.result.is_ok;
    return {.exit_code = failed ? 1 : 0};
  }

  // The memory is full, or so full that the module may well have been refused more.
  bool memory_is_short(uint64_t used) const {
    const uint64_t limit = job_.limits.memory_bytes;
    const uint64_t reserve = std::max<uint64_t>(limit / 8, uint64_t{1} << 20);
    return used + reserve > limit;
  }

  void note_usage(Ending& ending) {
    uint64_t used = 0;
    if (memory_) used = memory_->data(store_).size();
    if (ending.outcome == Outcome::kTrap && memory_ && memory_is_short(used)) {
      ending.exit_code = wasm::kExitOutOfMemory;
      ending.outcome = Outcome::kOutOfMemory;
      ending.why = fmt::format("out of memory: {} of {} bytes are in use; {}", used,
                               job_.limits.memory_bytes, ending.why);
    }
    wasm::ReportPage* report = report_page.load();
    if (report == nullptr) return;
    report->memory_bytes = used;
    if (!job_.limits.fuel) return;
    if (const auto left = store_.context().get_fuel(); left) {
      report->fuel_used = *job_.limits.fuel - left.ok_ref();
    }
  }

  const wasm::Job& job_;
  const Program& program_;
  wasmtime::Engine engine_;
  wasmtime::Store store_;
  std::optional<wasmtime::Memory> memory_;
  std::optional<int> exit_code_;  // of proc_exit
};

}  // namespace

int run_job(const wasm::Job& job, const Program& program) {
  // The one thread beside ours that WASI's asynchronous side needs, if it is needed at all, not one
  // a processor.
  setenv("TOKIO_WORKER_THREADS", "1", 1);
  open_report(job.report);
  install_signal_handlers();
  start_timer(job.limits.timeout);
  Host host(job, program);  // lives as long as the process, which needs no unmapping
  const Ending ending = host.run();
  if (!ending.why.empty()) {
    complain(ending.why);
    (void)write_all(STDERR_FILENO, ending.backtrace, "stderr");
  }
  report_outcome(ending.outcome, ending.why);
  _exit(ending.exit_code & 0xFF);
}

}  // namespace trivet::wasm_host
