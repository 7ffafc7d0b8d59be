#include "trivet/podman_runtime.h"

#include <algorithm>

#include "backend/podman_cli.h"
#include "backend/podman_json.h"
#include "backend/podman_log.h"
#include "backend/podman_plan.h"
#include "base/printable.h"
#include "base/text.h"

namespace trivet {

namespace {

using backend::kPodmanChange;
using backend::kPodmanQuestion;
using backend::kPodmanQuick;
using backend::kPodmanTransfer;

constexpr size_t kIdLength = 64;

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Error no_container(const std::string& name) {
  return {ErrorCode::kNotFound, fmt::format("there is no container \"{}\"", name)};
}

// What podman accepts as a name (libpod's define.NameRegex); an id is one, too.
bool is_name(std::string_view text) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  constexpr std::string_view kOthers = "_.-";
  return !text.empty() && !kOthers.contains(text.front()) && std::ranges::all_of(text, [&](char c) {
    return kLetters.contains(c) || kOthers.contains(c);
  });
}

// The filter is a regular expression.
std::string name_filter(std::string_view name) {
  std::string pattern;
  for (const char c : name) pattern += c == '.' ? std::string("\\.") : std::string(1, c);
  return fmt::format("--filter=name=^{}$", pattern);
}

std::vector<std::string> ps_words(RwSize rw_size) {
  std::vector<std::string> words{"ps", "--all", "--no-trunc", "--sort=created", "--format=json"};
  if (rw_size == RwSize::kMeasure) words.emplace_back("--size");
  return words;
}

std::optional<std::chrono::milliseconds> time_until(
    const std::optional<std::chrono::steady_clock::time_point>& deadline) {
  if (!deadline) return std::nullopt;
  return std::chrono::ceil<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
}

// By `podman wait`: an exit code, which is not yet the last one if there is a restart policy.
Result<int> wait_once(const backend::PodmanCli& cli, const std::string& id,
                      std::optional<std::chrono::milliseconds> timeout,
                      const std::stop_token& stop) {
  std::string printed;
  std::string said;
  const auto into = [](std::string& text) -> ByteSink {
    return [&text](std::string_view bytes) -> Result<> {
      text += bytes;
      return {};
    };
  };
  const int status = TRY(cli.stream({"wait", "--", id},
                                    {.argv = {"podman wait"}, .timeout = timeout, .stop = stop},
                                    {.stdin = {}, .stdout = into(printed), .stderr = into(said)}));
  if (status != 0) return std::unexpected(backend::podman_error(said));
  const auto code = parse_int(trim(printed));
  if (code) return static_cast<int>(*code);
  return fail(ErrorCode::kCorrupt, "podman wait: \"{}\" is no exit code", printable(printed));
}

}  // namespace

PodmanRuntime::PodmanRuntime(std::shared_ptr<const backend::PodmanCli> cli)
    : cli_(std::move(cli)) {}
PodmanRuntime::~PodmanRuntime() = default;

Result<std::shared_ptr<PodmanRuntime>> PodmanRuntime::open(PodmanOptions options) {
  auto cli = std::make_shared<const backend::PodmanCli>(std::move(options));
  TRY(cli->run({"--version"}, kPodmanQuick));
  return std::shared_ptr<PodmanRuntime>(new PodmanRuntime(std::move(cli)));
}

// Podman takes the beginning of an id as well: as a guess at what a person means, not as the name
// of something that a program is going to remove. Only what could be one costs a question.
Result<std::string> PodmanRuntime::exact(const std::string& container) {
  if (!is_name(container)) return std::unexpected(no_container(container));
  if (!is_hex(container) || container.size() == kIdLength) return container;
  ContainerInfo info = TRY(find(container, RwSize::kSkip));
  return std::move(info.id);
}

Result<std::string> PodmanRuntime::create(const RunOptions& options) {
  const auto words = TRY(backend::plan_podman_create(options));
  const std::string printed = TRY(cli_->run(words, kPodmanTransfer));
  if (!options.name.empty()) return options.name;
  ContainerInfo info = TRY(find(std::string(trim(printed)), RwSize::kSkip));
  return std::move(info.name);
}

Result<std::string> PodmanRuntime::run(const RunOptions& options) {
  std::string name = TRY(create(options));
  auto started = start(name);
  if (started) return name;
  Error cause = std::move(started.error());
  auto removed = remove(name, Force::kYes);
  if (removed || removed.error().code() == ErrorCode::kNotFound) return std::unexpected(cause);
  return std::unexpected(std::move(cause).note(removed.error()));
}

Result<> PodmanRuntime::start(const std::string& container) {
  const std::string name = TRY(exact(container));
  TRY(cli_->run({"start", "--", name}, kPodmanChange));
  return {};
}

Result<> PodmanRuntime::stop(const std::string& container, std::chrono::seconds grace) {
  const std::string name = TRY(exact(container));
  const auto seconds = std::max(grace, std::chrono::seconds(0));
  TRY(cli_->run({"stop", fmt::format("--time={}", seconds.count()), "--", name},
                seconds + kPodmanQuestion));
  return {};
}

Result<int> PodmanRuntime::wait(const std::string& container,
                                std::optional<std::chrono::milliseconds> timeout,
                                std::stop_token stop) {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  if (timeout) deadline = std::chrono::steady_clock::now() + *timeout;
  for (;;) {
    const ContainerInfo info = TRY(find(container, RwSize::kSkip));
    if (info.status == ContainerStatus::kCreated) {
      return fail(ErrorCode::kWrongState, "container \"{}\" was never started", info.name);
    }
    if (info.status == ContainerStatus::kStopped) return info.exit_code;
    const auto left = time_until(deadline);
    if (left && left->count() <= 0) {
      return fail(ErrorCode::kTimeout, "container \"{}\" has not ended within {} ms", info.name,
                  timeout->count());
    }
    const auto code = wait_once(*cli_, info.id, left, stop);
    if (!code && code.error().code() == ErrorCode::kTimeout) continue;
    if (!code && code.error().code() != ErrorCode::kNotFound) return code;
    // With --rm it is gone by now, and this was the last that could be learned of it.
    if (code && !find(info.id, RwSize::kSkip)) return code;
  }
}

Result<> PodmanRuntime::remove(const std::string& container, Force force) {
  std::string name = TRY(exact(container));
  std::vector<std::string> words{"rm", "--volumes"};
  if (force == Force::kYes) {
    // Of what is not there --force says nothing.
    const ContainerInfo info = TRY(find(name, RwSize::kSkip));
    name = info.id;
    words.insert(words.end(), {"--force", "--time=0"});
  }
  words.insert(words.end(), {"--", name});
  TRY(cli_->run(words, kPodmanChange));
  return {};
}

Result<ContainerInfo> PodmanRuntime::find(const std::string& container, RwSize rw_size) {
  if (!is_name(container)) return std::unexpected(no_container(container));
  std::vector<std::string> words = ps_words(rw_size);
  const bool is_id = container.size() == kIdLength && is_hex(container);
  words.push_back(is_id ? "--filter=id=" + container : name_filter(container));
  auto found = TRY(backend::parse_podman_ps(TRY(cli_->run(words, kPodmanQuestion))));
  for (ContainerInfo& info : found) {
    if (info.name == container || info.id == container) return std::move(info);
  }
  return std::unexpected(no_container(container));
}

Result<std::vector<ContainerInfo>> PodmanRuntime::list(const ContainerQuery& query) {
  auto all =
      TRY(backend::parse_podman_ps(TRY(cli_->run(ps_words(query.rw_size), kPodmanQuestion))));
  std::erase_if(all, [&](const ContainerInfo& info) { return !query.matches(info.name); });
  return all;
}

Result<> PodmanRuntime::copy_in(const std::string& container, const std::filesystem::path& source,
                                const std::string& destination) {
  const std::string name = TRY(exact(container));
  // A relative source with a ":" would be a path in a container.
  std::error_code failure;
  const std::filesystem::path absolute = std::filesystem::absolute(source, failure);
  if (failure) {
    return std::unexpected(Error::from_errno(failure.value(), "find the current directory"));
  }
  TRY(cli_->run({"cp", "--", absolute.string(), fmt::format("{}:{}", name, destination)},
                kPodmanTransfer));
  return {};
}

Result<std::unique_ptr<LogSource>> PodmanRuntime::logs(const std::string& container,
                                                       const LogOptions& options) {
  const ContainerInfo info = TRY(find(container, RwSize::kSkip));
  return backend::follow_podman_log(cli_, info.id, options);
}

Result<ImageInfo> PodmanRuntime::find_image(const std::string& image) {
  const auto text = TRY(cli_->run({"image", "inspect", "--", image}, kPodmanQuestion));
  auto parsed = TRY(backend::parse_podman_image(text));
  return std::move(parsed.info);
}

Result<std::vector<ImageInfo>> PodmanRuntime::list_images() {
  return backend::parse_podman_images(
      TRY(cli_->run({"images", "--no-trunc", "--format=json"}, kPodmanQuestion)));
}

Result<std::vector<ImageHistoryEntry>> PodmanRuntime::image_history(const std::string& image) {
  const auto text = TRY(cli_->run({"image", "inspect", "--", image}, kPodmanQuestion));
  auto parsed = TRY(backend::parse_podman_image(text));
  return std::move(parsed.history);
}

Result<> PodmanRuntime::remove_image(const std::string& image, Force force) {
  std::vector<std::string> words{"rmi"};
  if (force == Force::kYes) {
    // Of what is not there --force says nothing.
    TRY(find_image(image));
    words.emplace_back("--force");
  }
  words.insert(words.end(), {"--", image});
  TRY(cli_->run(words, kPodmanChange));
  return {};
}

}  // namespace trivet
