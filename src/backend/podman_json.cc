#include "backend/podman_json.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/json.h"
#include "base/text.h"

namespace trivet::backend {

namespace {

// A document of podman's that is no list of such things is broken, not the caller's mistake.
template <typename T>
Result<T> corrupt_if_wrong(Result<T> result, std::string_view what) {
  if (result) return result;
  return std::unexpected(std::move(result.error()).with_code(ErrorCode::kCorrupt).in(what));
}

// Parses an array of objects.
template <typename T>
Result<std::vector<T>> parse_list(std::string_view text, Result<T> (*parse)(const JsonView&)) {
  std::vector<T> list;
  // Older versions print nothing, or null, for an empty list.
  if (trim(text).empty()) return list;
  const Json document = TRY(parse_json(text, "the output"));
  if (document.is_null()) return list;
  for (const JsonView& element : TRY(JsonView(document, "").elements())) {
    list.push_back(TRY(parse(element)));
  }
  return list;
}

ContainerStatus parse_state(const std::string& state) {
  using enum ContainerStatus;
  static constexpr std::array<std::pair<std::string_view, ContainerStatus>, 9> kStates{{
      {"created", kCreated},
      {"configured", kCreated},
      {"initialized", kCreated},
      {"running", kRunning},
      {"stopping", kRunning},
      {"paused", kPaused},
      {"exited", kStopped},
      {"stopped", kStopped},
      {"removing", kStopped},
  }};
  const auto* found =
      std::ranges::find(kStates, state, [](const auto& entry) { return entry.first; });
  return found == kStates.end() ? kBroken : found->second;
}

// Podman writes the year 1 for what has not happened.
std::optional<Timestamp> time_of(int64_t seconds) {
  if (seconds <= 0) return std::nullopt;
  return Timestamp(std::chrono::seconds(seconds));
}

Result<std::map<std::string, std::string>> parse_labels(const JsonView& view) {
  std::map<std::string, std::string> labels;
  const auto member = TRY(view.find("Labels"));
  if (!member) return labels;
  for (const auto& [name, value] : TRY(member->members())) labels[name] = TRY(value.as_string());
  return labels;
}

// One entry may be a range of ports.
Result<> parse_port(const JsonView& view, std::vector<PublishedPort>& ports) {
  PublishedPort first;
  uint16_t range = 1;
  TRY(view.read("host_ip", first.host_ip));
  TRY(view.read("host_port", first.host_port));
  TRY(view.read("container_port", first.container_port));
  TRY(view.read("protocol", first.protocol));
  TRY(view.read("range", range));
  const int last = std::numeric_limits<uint16_t>::max();
  if (first.host_port + range - 1 > last || first.container_port + range - 1 > last) {
    return view.wrong("a range of ports");
  }
  for (uint16_t i = 0; i < std::max<uint16_t>(range, 1); ++i) {
    PublishedPort port = first;
    port.host_port = static_cast<uint16_t>(port.host_port + i);
    port.container_port = static_cast<uint16_t>(port.container_port + i);
    ports.push_back(std::move(port));
  }
  return {};
}

Result<> parse_times(const JsonView& view, ContainerInfo& info) {
  int64_t created = 0;
  int64_t started = 0;
  int64_t exited = 0;
  TRY(view.read("Created", created));
  TRY(view.read("StartedAt", started));
  TRY(view.read("ExitedAt", exited));
  info.created = Timestamp(std::chrono::seconds(created));
  info.started = time_of(started);
  info.finished = time_of(exited);
  return {};
}

Result<ContainerInfo> parse_container(const JsonView& view) {
  ContainerInfo info;
  std::vector<std::string> names;
  std::string state;
  TRY(view.read("Id", info.id));
  TRY(view.read("Names", names));
  TRY(view.read("State", state));
  if (info.id.empty() || names.empty() || state.empty()) return view.wrong("a container");
  info.name = names.front();
  info.status = parse_state(state);
  TRY(view.read("Image", info.image));
  TRY(view.read("ImageID", info.image_id));
  if (!info.image_id.empty()) info.image_id = "sha256:" + info.image_id;
  TRY(view.read("Command", info.command));
  TRY(view.read("Pid", info.pid));
  TRY(view.read("ExitCode", info.exit_code));
  TRY(view.read("Restarts", info.restart_count));
  TRY(view.read("Pod", info.pod));
  info.labels = TRY(parse_labels(view));
  TRY(parse_times(view, info));
  if (const auto ports = TRY(view.find("Ports"))) {
    for (const JsonView& port : TRY(ports->elements())) TRY(parse_port(port, info.ports));
  }
  if (const auto size = TRY(view.find("Size"))) TRY(size->read("rwSize", info.rw_size));
  return info;
}

Result<> parse_image_basics(const JsonView& view, ImageInfo& info) {
  TRY(view.read("Id", info.id));
  if (info.id.empty()) return view.wrong("an image");
  info.id = "sha256:" + info.id;
  TRY(view.read("Digest", info.digest));
  TRY(view.read("Size", info.size));
  info.labels = TRY(parse_labels(view));
  return {};
}

Result<ImageInfo> parse_listed_image(const JsonView& view) {
  ImageInfo info;
  TRY(parse_image_basics(view, info));
  TRY(view.read("Names", info.names));
  int64_t created = 0;
  TRY(view.read("Created", created));
  info.created = Timestamp(std::chrono::seconds(created));
  return info;
}

Result<ImageHistoryEntry> parse_history_entry(const JsonView& view) {
  ImageHistoryEntry entry;
  TRY(view.read("created", entry.created));
  TRY(view.read("created_by", entry.created_by));
  TRY(view.read("comment", entry.comment));
  TRY(view.read("empty_layer", entry.empty_layer));
  return entry;
}

Result<PodmanImage> parse_inspected_image(const JsonView& view) {
  PodmanImage image;
  TRY(parse_image_basics(view, image.info));
  TRY(view.read("RepoTags", image.info.names));
  TRY(view.read("Os", image.info.os));
  TRY(view.read("Architecture", image.info.architecture));
  std::string created;
  TRY(view.read("Created", created));
  if (!created.empty()) image.info.created = TRY(parse_timestamp(created));
  if (const auto history = TRY(view.find("History"))) {
    for (const JsonView& entry : TRY(history->elements())) {
      image.history.push_back(TRY(parse_history_entry(entry)));
    }
  }
  std::ranges::reverse(image.history);
  return image;
}

}  // namespace

Result<std::vector<ContainerInfo>> parse_podman_ps(std::string_view text) {
  auto list = TRY(corrupt_if_wrong(parse_list(text, parse_container), "podman ps"));
  // Podman sorts by times that are finer than those it prints.
  std::ranges::reverse(list);
  std::ranges::stable_sort(list, std::ranges::greater(), &ContainerInfo::created);
  return list;
}

Result<std::vector<ImageInfo>> parse_podman_images(std::string_view text) {
  return corrupt_if_wrong(parse_list(text, parse_listed_image), "podman images");
}

Result<PodmanImage> parse_podman_image(std::string_view text) {
  auto list =
      TRY(corrupt_if_wrong(parse_list(text, parse_inspected_image), "podman image inspect"));
  if (list.size() == 1) return std::move(list.front());
  return fail(ErrorCode::kCorrupt, "podman image inspect: {} images instead of one", list.size());
}

}  // namespace trivet::backend
