#include "pod/line_buffer.h"

namespace trivet::pod {

Result<> LineBuffer::feed(std::string_view bytes) {
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    scanned_ -= begin_;
    begin_ = 0;
  }
  buffer_ += bytes;
  if (has_line()) return {};
  scanned_ = buffer_.size();
  if (buffer_.size() <= limit_) return {};
  return fail(ErrorCode::kLimitExceeded, "a line is longer than {} bytes", limit_);
}

Result<std::optional<std::string>> LineBuffer::next() {
  const size_t end = end_of_line();
  if (end == std::string::npos) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  if (end - begin_ > limit_) {
    return fail(ErrorCode::kLimitExceeded, "a line is longer than {} bytes", limit_);
  }
  std::string line = buffer_.substr(begin_, end - begin_);
  begin_ = end + 1;
  scanned_ = begin_;
  return line;
}

}  // namespace trivet::pod
