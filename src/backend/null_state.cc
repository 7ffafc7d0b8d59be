#include "backend/null_state.h"

#include <array>

#include <fmt/ranges.h>

#include "base/printable.h"
#include "image/reference.h"

namespace trivet::backend {

namespace {

std::string canonical(std::string_view name) {
  const auto reference = image::parse_reference(name);
  return reference ? reference->canonical() : std::string(name);
}

bool is_named(const ImageInfo& info, std::string_view name) {
  constexpr size_t kShortest = 3;  // digits of an id
  constexpr std::string_view kAlgorithm = "sha256:";
  if (std::ranges::find(info.names, canonical(name)) != info.names.end()) return true;
  const std::string_view digits = name.starts_with(kAlgorithm) ? name.substr(7) : name;
  return digits.size() >= kShortest && std::string_view(info.id).substr(7).starts_with(digits);
}

}  // namespace

Result<> NullState::note(NullCall call) {
  std::deque<Error>& errors = failures[call.operation];
  calls.push_back(std::move(call));
  if (errors.empty()) return {};
  Error error = std::move(errors.front());
  errors.pop_front();
  return std::unexpected(std::move(error));
}

Result<NullContainer*> NullState::find(std::string_view name) {
  const auto found = std::ranges::find_if(containers, [&](const NullContainer& container) {
    return container.info.name == name || container.info.id == name;
  });
  if (found != containers.end()) return &*found;
  return std::unexpected(
      Error(ErrorCode::kNotFound, fmt::format("there is no container \"{}\"", name))
          .hint("add_container(), create() and run() make them"));
}

Result<NullImage*> NullState::find_image(std::string_view name) {
  const auto found = std::ranges::find_if(
      images, [&](const NullImage& image) { return is_named(image.info, name); });
  if (found != images.end()) return &*found;
  return std::unexpected(Error(ErrorCode::kNotFound, fmt::format("there is no image \"{}\"", name))
                             .hint("add_image() makes them"));
}

Result<std::string> NullState::make(const RunOptions& options) {
  if (!options.name.empty() && find(options.name)) {
    return fail(ErrorCode::kAlreadyExists, "there is a container \"{}\" already", options.name);
  }
  ContainerInfo info;
  info.id = make_id();
  info.name = options.name.empty() ? fmt::format("null-{}", ++names_made) : options.name;
  info.image = options.image.empty() ? options.rootfs : options.image;
  if (!options.image.empty()) info.image_id = TRY(find_image(options.image))
  ->info.id;
  info.command = options.command;
  info.status = ContainerStatus::kCreated;
  info.isolation = options.isolation;
  info.created = std::chrono::system_clock::now();
  info.labels = options.labels;
  info.rw_size = 0;
  std::string name = info.name;
  containers.push_back({.info = std::move(info), .lines = {}});
  return name;
}

void NullState::start(NullContainer& container) {
  if (is_up(container.info)) return;
  container.info.status = ContainerStatus::kRunning;
  container.info.started = std::chrono::system_clock::now();
  container.info.finished.reset();
  const auto script = starts.find(container.info.name);
  if (script != starts.end()) {
    for (const std::string& line : script->second.logs) {
      print(container, line, LogLine::Stream::kStdout);
    }
    if (script->second.exit_code) end(container, *script->second.exit_code);
  }
  changed.notify_all();
}

void NullState::end(NullContainer& container, int exit_code) {
  container.info.status = ContainerStatus::kStopped;
  container.info.exit_code = exit_code;
  container.info.finished = std::chrono::system_clock::now();
  changed.notify_all();
}

void NullState::print(NullContainer& container, std::string text, LogLine::Stream stream) {
  container.lines.push_back(
      {.time = std::chrono::system_clock::now(), .stream = stream, .text = std::move(text)});
  changed.notify_all();
}

Result<const ExecScript*> NullState::take_script(const std::string& container,
                                                 const std::vector<std::string>& argv) {
  const ContainerInfo& info = TRY(find(container))
  ->info;
  if (info.status != ContainerStatus::kRunning) {
    return fail(ErrorCode::kWrongState, "container \"{}\" is {}", container,
                container_status_name(info.status));
  }
  std::vector<std::string> others;
  for (ScriptedExec& exec : execs) {
    if (exec.container != info.name || (exec.used && !exec.repeats)) continue;
    if (exec.argv == argv) {
      exec.used = true;
      return &exec.script;
    }
    others.push_back(fmt::format("{}", exec.argv));
  }
  const std::string text =
      fmt::format("exec {} {}: nothing is scripted for it; left for \"{}\": {}", container, argv,
                  info.name, others.empty() ? "none" : fmt::format("{}", fmt::join(others, ", ")));
  mismatches.push_back(text);
  return std::unexpected(Error(ErrorCode::kUnsupported, text).hint("on_exec() scripts commands"));
}

Result<> NullState::remove_image(const std::string& name, Force force) {
  NullImage* image = TRY(find_image(name));
  ImageInfo& info = image->info;
  const bool by_name = std::erase(info.names, canonical(name)) > 0;
  if (by_name && !info.names.empty()) return {};
  const bool used = std::ranges::any_of(containers, [&](const NullContainer& container) {
    return container.info.image_id == info.id;
  });
  if (used && force == Force::kNo) {
    if (by_name) info.names.push_back(canonical(name));
    return fail(ErrorCode::kWrongState, "image \"{}\" is in use", name);
  }
  if (used) {
    info.names.clear();
    return {};
  }
  std::erase_if(images, [id = info.id](const NullImage& other) { return other.info.id == id; });
  return {};
}

std::string NullState::make_id() {
  return fmt::format("{:064x}", ++ids_made);
}

}  // namespace trivet::backend

namespace trivet {

std::string NullCall::describe() const {
  constexpr std::array kNames{
      "create",     "run",         "start",         "stop",         "wait",          "remove",
      "find",       "list",        "copy_in",       "exec",         "login_command", "logs",
      "find_image", "list_images", "image_history", "remove_image", "reserve_port"};
  std::string text = kNames.at(static_cast<size_t>(operation));
  if (!target.empty()) text += " " + target;
  for (const std::string& argument : args) text += " " + argument;
  return printable(text);
}

}  // namespace trivet
