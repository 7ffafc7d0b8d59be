#include "pod/grpc_health.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nghttp2/nghttp2.h>

#include "base/printable.h"

namespace trivet::pod {

namespace {

// Of a gRPC message: whether it is compressed, and its length (gRPC over HTTP2, "Length-Prefixed-
// Message").
constexpr size_t kPrefix = 5;
constexpr size_t kMaxMessage = 4096;
constexpr size_t kMaxText = 256;

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>((value & 0x7fU) | 0x80U);
  out += static_cast<char>(value);
}

Result<uint64_t> take_varint(std::string_view& text) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (text.empty()) break;
    const auto byte = static_cast<uint8_t>(text.front());
    text.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7fU) << shift;
    if ((byte & 0x80U) == 0) return value;
  }
  return fail(ErrorCode::kCorrupt, "the health answer is no protobuf message");
}

// HealthCheckRequest: the service's name is its field 1, a string.
std::string print_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    message += '\x0a';
    append_varint(message, service.size());
    message += service;
  }
  const auto size = static_cast<uint32_t>(message.size());
  std::string framed(1, '\0');
  for (const unsigned shift : {24U, 16U, 8U, 0U}) framed += static_cast<char>(size >> shift);
  return framed + message;
}

std::string_view serving_status_name(uint64_t status) {
  constexpr std::array<std::string_view, 4> kNames{"UNKNOWN", "SERVING", "NOT_SERVING",
                                                   "SERVICE_UNKNOWN"};
  return status < kNames.size() ? kNames.at(status) : "a status that is not defined";
}

// What a person has to know of gRPC's codes.
std::string explain(int code, std::string_view text) {
  constexpr int kNotFound = 5;
  constexpr int kUnimplemented = 12;
  if (code == kUnimplemented) return "the server does not have the service grpc.health.v1.Health";
  if (code == kNotFound) return "the server does not know the service";
  return fmt::format("gRPC status {}{}{}", code, text.empty() ? "" : ": ", text);
}

nghttp2_nv make_header(std::string_view name, std::string_view value) {
  // nghttp2 copies both and changes neither, whatever its types say.
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

Result<uint64_t> parse_health_response(std::string_view message) {
  uint64_t status = 0;
  while (!message.empty()) {
    const uint64_t key = TRY(take_varint(message));
    const uint64_t field = key >> 3U;
    const uint64_t type = key & 7U;
    uint64_t skipped = 0;
    if (type == 0) {
      const uint64_t value = TRY(take_varint(message));
      if (field == 1) status = value;
    } else if (type == 2) {
      skipped = TRY(take_varint(message));
    } else if (type == 1 || type == 5) {
      skipped = type == 1 ? 8 : 4;
    } else {
      return fail(ErrorCode::kCorrupt, "the health answer has a field of unknown type {}", type);
    }
    if (field == 0 || (field == 1 && type != 0) || skipped > message.size()) {
      return fail(ErrorCode::kCorrupt, "the health answer is no protobuf message");
    }
    message.remove_prefix(skipped);
  }
  return status;
}

struct GrpcHealthCheck::Impl {
  nghttp2_session* session = nullptr;
  int32_t stream = -1;
  std::string request;
  size_t request_sent = 0;
  size_t received = 0;
  std::string body;
  std::string http_status;
  std::string grpc_status;
  std::string grpc_message;
  std::optional<Result<>> outcome;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { nghttp2_session_del(session); }

  Result<> open();
  Result<> ask(const std::string& authority);
  [[nodiscard]] Result<> judge(uint32_t error_code) const;
  [[nodiscard]] Result<> judge_message() const;

  static Impl& of(void* user_data) { return *static_cast<Impl*>(user_data); }
  static ssize_t read_request(nghttp2_session* session, int32_t stream, uint8_t* buffer,
                              size_t size, uint32_t* flags, nghttp2_data_source* source,
                              void* user_data);
  static int on_header(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t flags,
                       void* user_data);
  static int on_data(nghttp2_session* session, uint8_t flags, int32_t stream, const uint8_t* data,
                     size_t size, void* user_data);
  static int on_close(nghttp2_session* session, int32_t stream, uint32_t error_code,
                      void* user_data);
};

ssize_t GrpcHealthCheck::Impl::read_request(nghttp2_session* /*session*/, int32_t /*stream*/,
                                            uint8_t* buffer, size_t size, uint32_t* flags,
                                            nghttp2_data_source* /*source*/, void* user_data) {
  Impl& self = of(user_data);
  const size_t count = std::min(size, self.request.size() - self.request_sent);
  std::copy_n(self.request.data() + self.request_sent, count, buffer);
  self.request_sent += count;
  if (self.request_sent == self.request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(count);
}

int GrpcHealthCheck::Impl::on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame,
                                     const uint8_t* name, size_t name_size, const uint8_t* value,
                                     size_t value_size, uint8_t /*flags*/, void* user_data) {
  Impl& self = of(user_data);
  if (frame->hd.stream_id != self.stream) return 0;
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  const std::string_view text(reinterpret_cast<const char*>(value), std::min(value_size, kMaxText));
  if (key == ":status") self.http_status = text;
  if (key == "grpc-status") self.grpc_status = text;
  if (key == "grpc-message") self.grpc_message = printable(text);
  return 0;
}

int GrpcHealthCheck::Impl::on_data(nghttp2_session* /*session*/, uint8_t /*flags*/, int32_t stream,
                                   const uint8_t* data, size_t size, void* user_data) {
  Impl& self = of(user_data);
  if (stream != self.stream) return 0;
  if (self.body.size() + size > kMaxMessage) return NGHTTP2_ERR_CALLBACK_FAILURE;
  self.body.append(reinterpret_cast<const char*>(data), size);
  return 0;
}

int GrpcHealthCheck::Impl::on_close(nghttp2_session* /*session*/, int32_t stream,
                                    uint32_t error_code, void* user_data) {
  Impl& self = of(user_data);
  if (stream == self.stream) self.outcome = self.judge(error_code);
  return 0;
}

Result<> GrpcHealthCheck::Impl::judge(uint32_t error_code) const {
  if (error_code != NGHTTP2_NO_ERROR && grpc_status.empty()) {
    return fail(ErrorCode::kNetwork, "the server has ended the stream: {}",
                nghttp2_http2_strerror(error_code));
  }
  if (http_status != "200") {
    return fail(ErrorCode::kNetwork, "HTTP status code {}",
                http_status.empty() ? "missing" : printable(http_status));
  }
  int code = -1;
  const char* end = grpc_status.data() + grpc_status.size();
  const auto parsed = std::from_chars(grpc_status.data(), end, code);
  if (grpc_status.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
    return fail(ErrorCode::kCorrupt, "the answer has no gRPC status: is it a gRPC server?");
  }
  if (code != 0) return fail(ErrorCode::kNetwork, "{}", explain(code, grpc_message));
  return judge_message();
}

Result<> GrpcHealthCheck::Impl::judge_message() const {
  constexpr uint64_t kServing = 1;
  uint64_t size = 0;
  for (size_t i = 1; i < kPrefix && i < body.size(); ++i) {
    size = size << 8U | static_cast<uint8_t>(body[i]);
  }
  if (body.size() < kPrefix || body[0] != '\0' || size != body.size() - kPrefix) {
    return fail(ErrorCode::kCorrupt, "the health answer is no single, uncompressed message");
  }
  const uint64_t status = TRY(parse_health_response(std::string_view(body).substr(kPrefix)));
  if (status == kServing) return {};
  return fail(ErrorCode::kWrongState, "the service is {}", serving_status_name(status));
}

Result<> GrpcHealthCheck::Impl::open() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) {
    return fail(ErrorCode::kSystem, "nghttp2: out of memory");
  }
  nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
  const int made = nghttp2_session_client_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return fail(ErrorCode::kSystem, "nghttp2: {}", nghttp2_strerror(made));
  return {};
}

Result<> GrpcHealthCheck::Impl::ask(const std::string& authority) {
  constexpr std::array<nghttp2_settings_entry, 2> kSettings{
      {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, 8192}}};
  int failed =
      nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, kSettings.data(), kSettings.size());
  const std::array<nghttp2_nv, 7> headers{
      make_header(":method", "POST"),
      make_header(":scheme", "http"),
      make_header(":path", "/grpc.health.v1.Health/Check"),
      make_header(":authority", authority),
      make_header("content-type", "application/grpc"),
      make_header("te", "trailers"),
      make_header("user-agent", "kube-probe/trivet"),
  };
  const nghttp2_data_provider provider{.source = {}, .read_callback = read_request};
  if (failed == 0) {
    stream = nghttp2_submit_request(session, nullptr, headers.data(), headers.size(), &provider,
                                    nullptr);
    failed = std::min(stream, 0);
  }
  if (failed != 0) return fail(ErrorCode::kSystem, "nghttp2: {}", nghttp2_strerror(failed));
  return {};
}

GrpcHealthCheck::GrpcHealthCheck(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcHealthCheck::~GrpcHealthCheck() = default;

Result<std::unique_ptr<GrpcHealthCheck>> GrpcHealthCheck::create(const std::string& authority,
                                                                 std::string_view service) {
  auto impl = std::make_unique<Impl>();
  impl->request = print_request(service);
  TRY(impl->open());
  TRY(impl->ask(authority));
  return std::unique_ptr<GrpcHealthCheck>(new GrpcHealthCheck(std::move(impl)));
}

Result<std::string> GrpcHealthCheck::take_output() {
  std::string output;
  for (;;) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(impl_->session, &data);
    if (size < 0) {
      return fail(ErrorCode::kNetwork, "HTTP/2: {}", nghttp2_strerror(static_cast<int>(size)));
    }
    if (size == 0) break;
    output.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
  // After an error of the server's the session has said its last (GOAWAY).
  if (!impl_->outcome && nghttp2_session_want_read(impl_->session) == 0) {
    return fail(ErrorCode::kCorrupt, "the answer is no valid HTTP/2");
  }
  return output;
}

Result<> GrpcHealthCheck::feed(std::string_view bytes) {
  impl_->received += bytes.size();
  if (impl_->received > kMaxInput) {
    return fail(ErrorCode::kLimitExceeded, "the server sent more than {} bytes", kMaxInput);
  }
  const ssize_t taken = nghttp2_session_mem_recv(
      impl_->session, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) {
    return fail(ErrorCode::kCorrupt, "the answer is no HTTP/2: {}",
                nghttp2_strerror(static_cast<int>(taken)));
  }
  return {};
}

const std::optional<Result<>>& GrpcHealthCheck::outcome() const {
  return impl_->outcome;
}

}  // namespace trivet::pod
