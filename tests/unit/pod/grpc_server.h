// A gRPC health server of one connection, over nghttp2's own server side.
#pragma once

#include <array>
#include <cstring>
#include <nghttp2/nghttp2.h>
#include <string>
#include <vector>

#include "pod/server.h"

namespace trivet::pod {

struct GrpcAnswer {
  std::string http_status = "200";
  std::string body = std::string("\0\0\0\0\2\x08\1", 7);  // SERVING
  std::string grpc_status = "0";                          // empty: no trailers
  std::string grpc_message;
};

// What the server has seen of the request.
struct GrpcRequest {
  std::string path;
  std::string body;
};

class GrpcServerSession {
 public:
  GrpcServerSession(GrpcAnswer answer, GrpcRequest& request)
      : answer_(std::move(answer)), request_(request) {
    nghttp2_session_callbacks* callbacks = nullptr;
    (void)nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    (void)nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    (void)nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  GrpcServerSession(const GrpcServerSession&) = delete;
  GrpcServerSession& operator=(const GrpcServerSession&) = delete;
  ~GrpcServerSession() { nghttp2_session_del(session_); }

  // Takes the client's bytes and returns what the server says to them.
  std::string exchange(std::string_view bytes) {
    (void)nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()),
                                   bytes.size());
    std::string output;
    const uint8_t* data = nullptr;
    for (ssize_t size = 0; (size = nghttp2_session_mem_send(session_, &data)) > 0;) {
      output.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    }
    return output;
  }

  void serve(int connection) {
    std::array<char, 4096> buffer{};
    for (ssize_t count = 0; (count = recv(connection, buffer.data(), buffer.size(), 0)) > 0;) {
      const std::string out = exchange({buffer.data(), static_cast<size_t>(count)});
      if (!send_text(connection, out)) return;
    }
  }

 private:
  static GrpcServerSession& of(void* user_data) {
    return *static_cast<GrpcServerSession*>(user_data);
  }
  static nghttp2_nv header(std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {
      return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
    };
    return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  }
  static int on_header(nghttp2_session* /*session*/, const nghttp2_frame* /*frame*/,
                       const uint8_t* name, size_t name_size, const uint8_t* value,
                       size_t value_size, uint8_t /*flags*/, void* user_data) {
    if (std::string_view(reinterpret_cast<const char*>(name), name_size) == ":path") {
      of(user_data).request_.path.assign(reinterpret_cast<const char*>(value), value_size);
    }
    return 0;
  }
  static int on_data(nghttp2_session* /*session*/, uint8_t /*flags*/, int32_t /*stream*/,
                     const uint8_t* data, size_t size, void* user_data) {
    of(user_data).request_.body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user_data) {
    const bool ended = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (ended && frame->hd.type == NGHTTP2_DATA) of(user_data).answer(frame->hd.stream_id);
    return 0;
  }
  static ssize_t read_body(nghttp2_session* session, int32_t stream, uint8_t* buffer, size_t size,
                           uint32_t* flags, nghttp2_data_source* /*source*/, void* user_data) {
    GrpcServerSession& self = of(user_data);
    const size_t count = std::min(size, self.answer_.body.size() - self.sent_);
    std::memcpy(buffer, self.answer_.body.data() + self.sent_, count);
    self.sent_ += count;
    if (self.sent_ < self.answer_.body.size()) return static_cast<ssize_t>(count);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!self.answer_.grpc_status.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      std::vector<nghttp2_nv> trailers{header("grpc-status", self.answer_.grpc_status)};
      if (!self.answer_.grpc_message.empty()) {
        trailers.push_back(header("grpc-message", self.answer_.grpc_message));
      }
      (void)nghttp2_submit_trailer(session, stream, trailers.data(), trailers.size());
    }
    return static_cast<ssize_t>(count);
  }

  void answer(int32_t stream) {
    const std::array<nghttp2_nv, 2> headers{header(":status", answer_.http_status),
                                            header("content-type", "application/grpc")};
    const nghttp2_data_provider provider{.source = {}, .read_callback = read_body};
    (void)nghttp2_submit_response(session_, stream, headers.data(), headers.size(), &provider);
  }

  nghttp2_session* session_ = nullptr;
  GrpcAnswer answer_;
  GrpcRequest& request_;
  size_t sent_ = 0;
};

}  // namespace trivet::pod
