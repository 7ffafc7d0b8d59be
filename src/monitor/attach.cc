#include "monitor/attach.h"

#include <array>

#include "base/error_json.h"

namespace trivet::monitor {

namespace {

template <typename T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

template <typename T>
Result<T> read_value(std::string_view payload) {
  if (payload.size() != sizeof(T)) {
    return fail(ErrorCode::kCorrupt, "attach: a payload of {} bytes where {} are expected",
                payload.size(), sizeof(T));
  }
  T value{};
  payload.copy(reinterpret_cast<char*>(&value), sizeof value);
  return value;
}

Json json_of(const Error& error) {
  Json json = error_to_json(error);
  json["exit_code"] = exit_code_for(error);
  return json;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string make_frame(Frame type, std::string_view payload) {
  std::string frame(1, static_cast<char>(type));
  frame.append(payload);
  return frame;
}

std::string make_frame(Frame type, int32_t value) {
  return make_frame(type, bytes_of(value));
}

std::string make_frame(WindowSize size) {
  return make_frame(Frame::kResize, bytes_of(size));
}

std::string make_frame(const StopRequest& request) {
  std::string payload(bytes_of(request.signal));
  payload.append(bytes_of(request.grace_ms));
  return make_frame(Frame::kStop, payload);
}

std::string make_frame(const Error& error) {
  return make_frame(Frame::kError, print_error(error));
}

Result<Message> parse_frame(std::string_view bytes) {
  if (bytes.empty()) return fail(ErrorCode::kCorrupt, "attach: an empty frame");
  return Message{.type = static_cast<Frame>(bytes.front()), .payload = bytes.substr(1)};
}

Result<int32_t> read_number(std::string_view payload) {
  return read_value<int32_t>(payload);
}

Result<WindowSize> read_window_size(std::string_view payload) {
  return read_value<WindowSize>(payload);
}

Result<StopRequest> read_stop_request(std::string_view payload) {
  constexpr size_t kSplit = sizeof(int32_t);
  const int32_t signal = TRY(read_value<int32_t>(payload.substr(0, kSplit)));
  return StopRequest {
    .signal = signal,
    .grace_ms = TRY(read_value<int64_t>(payload.substr(std::min(kSplit, payload.size()))))
  };
}

Error read_error(std::string_view payload) {
  return error_from_text(payload, "the monitor");
}

std::string print_error(const Error& error) {
  return dump(json_of(error));
}

int exit_code_for(const Error& error) {
  constexpr int kNotFound = 127;
  constexpr int kNotExecutable = 126;
  constexpr int kOwn = 125;
  if (error.code() == ErrorCode::kCommandNotFound) return kNotFound;
  return error.code() == ErrorCode::kCommandNotExecutable ? kNotExecutable : kOwn;
}

std::string print_started(pid_t init) {
  return fmt::format("{{\"pid\":{}}}\n", init);
}

std::string print_start_failure(const Error& error) {
  return dump(Json{{"error", json_of(error)}}) + "\n";
}

Result<pid_t> parse_started(std::string_view line) {
  if (line.empty()) return fail(ErrorCode::kSystem, "the monitor ended before the container ran");
  const Json json = TRY(parse_json(line, "the monitor's answer"));
  const JsonView view(json, "the monitor's answer");
  if (const auto error = TRY(view.find("error"))) {
    return std::unexpected(error_from_json(*error, "the monitor gave no reason"));
  }
  pid_t pid = 0;
  TRY(view.read("pid", pid));
  return pid;
}

}  // namespace trivet::monitor
