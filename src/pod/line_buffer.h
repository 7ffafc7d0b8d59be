// Lines out of a stream of bytes of unknown quality.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::pod {

class LineBuffer {
 public:
  // A line of more bytes than `limit` is an error, as soon as that is known.
  explicit LineBuffer(size_t limit) : limit_(limit) {}

  // kLimitExceeded; nothing more can be read then.
  Result<> feed(std::string_view bytes);
  // The next whole line, without its line feed.
  Result<std::optional<std::string>> next();
  // Whether next() would return one.
  [[nodiscard]] bool has_line() const { return end_of_line() != std::string::npos; }
  // Bytes of a line that has no end yet.
  [[nodiscard]] bool has_rest() const { return begin_ < buffer_.size(); }

 private:
  [[nodiscard]] size_t end_of_line() const { return buffer_.find('\n', scanned_); }

  size_t limit_;
  std::string buffer_;
  size_t begin_ = 0;    // of the next line
  size_t scanned_ = 0;  // there is no line feed between begin_ and here
};

}  // namespace trivet::pod
