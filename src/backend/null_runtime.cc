// The functions of NullRuntime: each writes its call down and changes the state under its lock.
#include "trivet/null_runtime.h"

#include <ranges>

#include <fmt/ranges.h>

#include "backend/null_exec.h"
#include "backend/null_state.h"
#include "base/pipe_signal.h"
#include "base/printable.h"

namespace trivet {

using backend::is_up;
using backend::NullContainer;
using backend::NullImage;
using backend::NullState;
using Lock = std::unique_lock<std::mutex>;

namespace {

std::vector<std::string> forced(Force force) {
  return force == Force::kYes ? std::vector<std::string>{"force"} : std::vector<std::string>{};
}

// Those whose result a program under test depends on, but which change nothing.
bool only_looks(NullCall::Operation operation) {
  using enum NullCall::Operation;
  return operation == kFind || operation == kList || operation == kFindImage ||
         operation == kListImages || operation == kImageHistory;
}

std::string words(const std::vector<std::string>& argv) {
  return printable(fmt::format("{}", fmt::join(argv, " ")));
}

}  // namespace

NullRuntime::NullRuntime() : state_(std::make_shared<NullState>()) {}
NullRuntime::~NullRuntime() = default;

// ---------------------------------------------------------------- what there is, what happens

void NullRuntime::add_container(ContainerInfo info) {
  const Lock lock(state_->mutex);
  if (info.id.empty()) info.id = state_->make_id();
  std::erase_if(state_->containers,
                [&](const NullContainer& other) { return other.info.name == info.name; });
  state_->containers.push_back({.info = std::move(info), .lines = {}});
  state_->changed.notify_all();
}

void NullRuntime::add_image(ImageInfo info, std::vector<ImageHistoryEntry> history) {
  const Lock lock(state_->mutex);
  if (info.id.empty()) info.id = fmt::format("sha256:{}", state_->make_id());
  state_->images.push_back({.info = std::move(info), .history = std::move(history)});
}

void NullRuntime::set_state(std::string_view container, ContainerStatus status) {
  const Lock lock(state_->mutex);
  if (const auto found = state_->find(container)) (*found)->info.status = status;
  state_->changed.notify_all();
}

void NullRuntime::set_rw_size(std::string_view container, uint64_t bytes) {
  const Lock lock(state_->mutex);
  if (const auto found = state_->find(container)) (*found)->info.rw_size = bytes;
}

void NullRuntime::end_container(std::string_view container, int exit_code) {
  const Lock lock(state_->mutex);
  if (const auto found = state_->find(container)) state_->end(**found, exit_code);
}

void NullRuntime::add_log(std::string_view container, std::string text, LogLine::Stream stream) {
  const Lock lock(state_->mutex);
  if (const auto found = state_->find(container)) state_->print(**found, std::move(text), stream);
}

void NullRuntime::when_started(std::string container, StartScript script) {
  const Lock lock(state_->mutex);
  state_->starts.insert_or_assign(std::move(container), std::move(script));
}

void NullRuntime::on_exec(std::string container, std::vector<std::string> argv, ExecScript script) {
  const Lock lock(state_->mutex);
  const bool repeats = script.repeats_;
  state_->execs.push_back({.container = std::move(container),
                           .argv = std::move(argv),
                           .script = std::move(script),
                           .repeats = repeats});
}

void NullRuntime::fail_next(Operation operation, Error error) {
  const Lock lock(state_->mutex);
  state_->failures[operation].push_back(std::move(error));
}

// ---------------------------------------------------------------- what was done

std::vector<NullCall> NullRuntime::calls() const {
  const Lock lock(state_->mutex);
  return state_->calls;
}

Result<> NullRuntime::check_calls(const std::vector<std::string>& expected) const {
  std::vector<std::string> found;
  for (const NullCall& call : calls()) {
    if (!only_looks(call.operation)) found.push_back(call.describe());
  }
  for (size_t i = 0; i < std::max(found.size(), expected.size()); ++i) {
    if (i < found.size() && i < expected.size() && found[i] == expected[i]) continue;
    const auto text = [i](const std::vector<std::string>& list) {
      return i < list.size() ? fmt::format("`{}`", list[i]) : std::string("none");
    };
    return fail(ErrorCode::kInvalidArgument, "call {}: expected {}, got {}", i + 1, text(expected),
                text(found));
  }
  return {};
}

Result<> NullRuntime::verify() const {
  const Lock lock(state_->mutex);
  std::vector<std::string> found = state_->mismatches;
  for (const backend::ScriptedExec& exec : state_->execs) {
    if (!exec.used) {
      found.push_back(fmt::format("exec {} {}: was not called", exec.container, words(exec.argv)));
    }
  }
  for (const auto& [operation, errors] : state_->failures) {
    if (errors.empty()) continue;
    const NullCall call{.operation = operation};
    found.push_back(fmt::format("{}: was to fail, but was not called", call.describe()));
  }
  if (found.empty()) return {};
  return fail(ErrorCode::kInvalidArgument, "not as scripted: {}", fmt::join(found, "; "));
}

// ---------------------------------------------------------------- containers

Result<std::string> NullRuntime::create(const RunOptions& options) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kCreate,
                    .target = options.name,
                    .args = options.command,
                    .options = options}));
  return state_->make(options);
}

Result<std::string> NullRuntime::run(const RunOptions& options) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kRun,
                    .target = options.name,
                    .args = options.command,
                    .options = options}));
  std::string name = TRY(state_->make(options));
  state_->start(state_->containers.back());
  return name;
}

Result<> NullRuntime::start(const std::string& container) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kStart, .target = container}));
  state_->start(*TRY(state_->find(container)));
  return {};
}

Result<> NullRuntime::stop(const std::string& container, std::chrono::seconds grace) {
  constexpr int kTerminated = 143;
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kStop,
                    .target = container,
                    .args = {fmt::format("{}", grace.count())}}));
  NullContainer* found = TRY(state_->find(container));
  if (is_up(found->info)) state_->end(*found, kTerminated);
  return {};
}

Result<int> NullRuntime::wait(const std::string& container,
                              std::optional<std::chrono::milliseconds> timeout,
                              std::stop_token stop) {
  Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kWait, .target = container}));
  const ContainerInfo before = TRY(state_->find(container))
  ->info;
  if (before.status == ContainerStatus::kCreated) {
    return fail(ErrorCode::kWrongState, "container \"{}\" was never started", container);
  }
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (timeout) deadline = std::chrono::steady_clock::now() + *timeout;
  std::optional<int> code;
  const auto ended = [&] {
    const auto found = state_->find(before.id);
    if (found && !is_up((*found)->info)) code = (*found)->info.exit_code;
    return code.has_value() || !found;
  };
  switch (wait_until(*state_, lock, deadline, stop, ended)) {
    case backend::Wait::kLate:
      return fail(ErrorCode::kTimeout, "container \"{}\" has not ended yet", container);
    case backend::Wait::kStopped:
      return fail(ErrorCode::kCanceled, "waiting for container \"{}\" was given up", container);
    case backend::Wait::kDone:
      break;
  }
  if (code) return *code;
  return fail(ErrorCode::kNotFound, "container \"{}\" was removed", container);
}

Result<> NullRuntime::remove(const std::string& container, Force force) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kRemove, .target = container, .args = forced(force)}));
  const NullContainer* found = TRY(state_->find(container));
  if (is_up(found->info) && force == Force::kNo) {
    return fail(ErrorCode::kWrongState, "container \"{}\" is {}", container,
                container_status_name(found->info.status));
  }
  std::erase_if(state_->containers,
                [id = found->info.id](const NullContainer& other) { return other.info.id == id; });
  state_->changed.notify_all();
  return {};
}

Result<ContainerInfo> NullRuntime::find(const std::string& container, RwSize rw_size) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kFind, .target = container}));
  ContainerInfo info = TRY(state_->find(container))
  ->info;
  if (rw_size == RwSize::kSkip) info.rw_size.reset();
  return info;
}

Result<std::vector<ContainerInfo>> NullRuntime::list(const ContainerQuery& query) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kList, .target = query.prefix, .args = query.names}));
  std::vector<ContainerInfo> found;
  for (const NullContainer& container : std::views::reverse(state_->containers)) {
    if (!query.matches(container.info.name)) continue;
    found.push_back(container.info);
    if (query.rw_size == RwSize::kSkip) found.back().rw_size.reset();
  }
  return found;
}

Result<> NullRuntime::copy_in(const std::string& container, const std::filesystem::path& source,
                              const std::string& destination) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kCopyIn,
                    .target = container,
                    .args = {source.string(), destination}}));
  TRY(state_->find(container));
  return {};
}

Result<int> NullRuntime::exec(const std::string& container, const ExecCommand& command,
                              const ExecStdio& stdio) {
  ExecScript script;
  {
    const Lock lock(state_->mutex);
    TRY(state_->note({.operation = Operation::kExec,
                      .target = container,
                      .args = command.argv,
                      .env = command.env}));
    script = *TRY(state_->take_script(container, command.argv));
  }
  // Without the lock: the caller's streams may take their time, and may call this runtime.
  const PipeSignalBlock no_pipe_signal;
  backend::ExecPlayer player(script, command, stdio);
  auto code = player.play();
  if (!player.mismatch()) return code;
  const std::string text =
      fmt::format("exec {} {}: {}", container, words(command.argv), *player.mismatch());
  const Lock lock(state_->mutex);
  state_->mismatches.push_back(text);
  return fail(ErrorCode::kInvalidArgument, "not as scripted: {}", text);
}

Result<std::vector<std::string>> NullRuntime::login_command(const std::string& container,
                                                            const std::vector<std::string>& argv) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kLoginCommand, .target = container, .args = argv}));
  std::vector<std::string> command{"trivet", "exec", "-it", container};
  command.insert(command.end(), argv.begin(), argv.end());
  return command;
}

Result<std::unique_ptr<LogSource>> NullRuntime::logs(const std::string& container,
                                                     const LogOptions& options) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kLogs, .target = container}));
  return make_null_log(state_, TRY(state_->find(container))->info.id, options);
}

// ---------------------------------------------------------------- images, the host

Result<ImageInfo> NullRuntime::find_image(const std::string& image) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kFindImage, .target = image}));
  return TRY(state_->find_image(image))
  ->info;
}

Result<std::vector<ImageInfo>> NullRuntime::list_images() {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kListImages, .target = ""}));
  std::vector<ImageInfo> found;
  for (const NullImage& image : state_->images) found.push_back(image.info);
  return found;
}

Result<std::vector<ImageHistoryEntry>> NullRuntime::image_history(const std::string& image) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kImageHistory, .target = image}));
  return TRY(state_->find_image(image))
  ->history;
}

Result<> NullRuntime::remove_image(const std::string& image, Force force) {
  const Lock lock(state_->mutex);
  TRY(state_->note({.operation = Operation::kRemoveImage, .target = image, .args = forced(force)}));
  return state_->remove_image(image, force);
}

Result<ReservedPort> NullRuntime::reserve_port(const std::string& host) {
  {
    const Lock lock(state_->mutex);
    TRY(state_->note({.operation = Operation::kReservePort, .target = host}));
  }
  return ReservedPort::reserve(host);
}

}  // namespace trivet
