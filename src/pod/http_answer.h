// The HTTP/1.1 of probes and hooks: one GET, and as much of the answer as tells how the server is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "pod/record.h"

namespace trivet::pod {

// The request of an Action of kind kHttp, with the headers that Kubernetes sends (its own can be
// replaced; an empty Accept or User-Agent leaves it out). Bytes of the path that a request can't
// have are percent-encoded. kInvalidArgument for a header that is none.
Result<std::string> print_http_request(const Action& action);

// What comes back, piece by piece. Whoever answers is not trusted: all is bounded, and what is no
// HTTP is kCorrupt.
class HttpAnswer {
 public:
  // Of the status line, all headers and interim answers (1xx) together.
  static constexpr size_t kMaxHeader = 16384;
  // As much of a body as is read, so that the server sees no reset connection (Kubernetes reads
  // 10 KiB as well). It has no influence on the outcome.
  static constexpr size_t kMaxBody = 10240;

  Result<> feed(std::string_view bytes);

  // 200 to 599 once the header is whole (101 too: a switch nobody asked for); 0 before.
  [[nodiscard]] int status() const { return header_done_ ? status_ : 0; }
  // Nothing more has to be read.
  [[nodiscard]] bool complete() const;

 private:
  Result<size_t> feed_header(std::string_view bytes);
  void feed_body(std::string_view bytes);
  Result<> take_line();
  Result<> take_status_line();
  Result<> take_field();

  std::string line_;
  std::string body_end_;  // its last bytes, to see the end of a chunked one
  size_t header_size_ = 0;
  size_t body_size_ = 0;
  std::optional<uint64_t> content_length_;
  int status_ = 0;  // of the answer whose header is being read; 0: its first line is to come
  bool header_done_ = false;
};

}  // namespace trivet::pod
