#include "pod/http_answer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/printable.h"
#include "base/text.h"

namespace trivet::pod {

namespace {

constexpr std::string_view kChunkedEnd = "0\r\n\r\n";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_names(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// RFC 9110, 5.6.2.
bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
           std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

// RFC 9110, 5.5: anything but control characters; a tab is none.
bool is_field_value(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return c == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

std::string encode_path(std::string_view path) {
  std::string encoded = path.starts_with('/') ? "" : "/";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f || c == '"' || c == '<' || c == '>' || c == '#') {
      encoded += fmt::format("%{:02X}", byte);
    } else {
      encoded += c;
    }
  }
  return encoded;
}

std::string host_header(const Action& action) {
  const std::string host = action.host.empty() ? "127.0.0.1" : action.host;
  return host.contains(':') ? fmt::format("[{}]:{}", host, action.port)
                            : fmt::format("{}:{}", host, action.port);
}

}  // namespace

Result<std::string> print_http_request(const Action& action) {
  // In this order; replaced by a header of the same name.
  std::array<std::pair<std::string_view, std::string>, 3> defaults{
      {{"Host", host_header(action)}, {"User-Agent", "kube-probe/trivet"}, {"Accept", "*/*"}}};
  std::string others;
  for (const auto& [name, value] : action.headers) {
    if (!is_token(name) || !is_field_value(value)) {
      return fail(ErrorCode::kInvalidArgument, "\"{}: {}\" is no HTTP header", printable(name),
                  printable(value));
    }
    const auto replaced = std::ranges::find_if(
        defaults, [&](const auto& known) { return equal_names(known.first, name); });
    if (replaced != defaults.end()) {
      replaced->second = value;
    } else if (!equal_names(name, "Connection")) {
      others += fmt::format("{}: {}\r\n", name, value);
    }
  }
  std::string request = fmt::format("GET {} HTTP/1.1\r\n", encode_path(action.path));
  for (const auto& [name, value] : defaults) {
    if (!value.empty()) request += fmt::format("{}: {}\r\n", name, value);
  }
  return request + others + "Connection: close\r\n\r\n";
}

Result<> HttpAnswer::feed(std::string_view bytes) {
  if (!header_done_) bytes.remove_prefix(TRY(feed_header(bytes)));
  if (header_done_) feed_body(bytes);
  return {};
}

// Returns how many bytes belong to the header.
Result<size_t> HttpAnswer::feed_header(std::string_view bytes) {
  size_t taken = 0;
  while (taken < bytes.size() && !header_done_) {
    const char c = bytes[taken++];
    if (++header_size_ > kMaxHeader) {
      return fail(ErrorCode::kLimitExceeded, "the answer's header is longer than {} bytes",
                  kMaxHeader);
    }
    if (c != '\n') {
      line_ += c;
      continue;
    }
    // A line feed alone ends a line too (RFC 9112, 2.2), as small servers send it.
    if (line_.ends_with('\r')) line_.pop_back();
    TRY(take_line());
    line_.clear();
  }
  return taken;
}

Result<> HttpAnswer::take_line() {
  if (status_ == 0) return take_status_line();
  if (!line_.empty()) return take_field();
  const bool interim = status_ < 200 && status_ != 101;
  if (interim) {
    status_ = 0;
    content_length_.reset();
  } else {
    header_done_ = true;
  }
  return {};
}

// "HTTP/1.1 200 OK"; the reason may be missing, with or without its blank.
Result<> HttpAnswer::take_status_line() {
  const std::string_view line = line_;
  const bool valid = line.size() >= 12 && line.starts_with("HTTP/1.") && is_digit(line[7]) &&
                     line[8] == ' ' && line[9] >= '1' && line[9] <= '5' && is_digit(line[10]) &&
                     is_digit(line[11]) && (line.size() == 12 || line[12] == ' ') &&
                     is_field_value(line);
  if (!valid) {
    return fail(ErrorCode::kCorrupt, "the answer is no HTTP/1.1: \"{}\"",
                printable(line.substr(0, 64)));
  }
  status_ = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  return {};
}

Result<> HttpAnswer::take_field() {
  const std::string_view line = line_;
  const size_t colon = std::min(line.find(':'), line.size());
  if (colon == line.size() || !is_token(line.substr(0, colon)) || !is_field_value(line)) {
    return fail(ErrorCode::kCorrupt, "the answer has no valid header: \"{}\"",
                printable(line.substr(0, 64)));
  }
  if (!equal_names(line.substr(0, colon), "Content-Length")) return {};
  const std::string_view value = trim(line.substr(colon + 1));
  constexpr size_t kMaxDigits = 18;
  if (value.empty() || value.size() > kMaxDigits || !std::ranges::all_of(value, is_digit)) {
    return fail(ErrorCode::kCorrupt, "the answer's Content-Length is no number: \"{}\"",
                printable(value.substr(0, 64)));
  }
  content_length_ = static_cast<uint64_t>(TRY(parse_int(value)));
  return {};
}

void HttpAnswer::feed_body(std::string_view bytes) {
  body_size_ += bytes.size();
  body_end_ += bytes;
  if (body_end_.size() > kChunkedEnd.size()) {
    body_end_.erase(0, body_end_.size() - kChunkedEnd.size());
  }
}

bool HttpAnswer::complete() const {
  if (!header_done_) return false;
  if (status_ == 204 || status_ == 304 || status_ == 101) return true;
  if (content_length_ && body_size_ >= *content_length_) return true;
  // Good enough as the end of a chunked body: if it is none, the rest is not read.
  return body_size_ >= kMaxBody || (!content_length_ && body_end_ == kChunkedEnd);
}

}  // namespace trivet::pod
