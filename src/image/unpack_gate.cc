#include "image/unpack_gate.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace trivet::image {

namespace {

// Longest extension header: a 64 KiB attribute in base64 and two names fit many times.
constexpr uint64_t kMaxExtension = 1U << 20U;
constexpr int kMaxChained = 16;
constexpr uint64_t kMaxTail = 16U << 20U;

// Fields of a header block (POSIX ustar, and GNU's old sparse form).
constexpr size_t kNameAt = 0;
constexpr size_t kNameLength = 100;
constexpr size_t kSizeAt = 124;
constexpr size_t kSizeLength = 12;
constexpr size_t kTypeAt = 156;
constexpr size_t kLinkAt = 157;
constexpr size_t kGnuIsExtendedAt = 482;
constexpr size_t kGnuMapIsExtendedAt = 504;

std::unexpected<Error> corrupt(std::string_view what) {
  return fail(ErrorCode::kCorrupt, "malformed tar: {}", what);
}

// A text field ends at its first NUL; anything behind that is a hidden second name.
bool hides_text(std::string_view field) {
  const size_t end = field.find('\0');
  return end != std::string_view::npos &&
         field.find_first_not_of('\0', end) != std::string_view::npos;
}

Result<uint64_t> parse_base256(std::string_view field) {
  constexpr unsigned kSign = 0x40;
  if ((static_cast<unsigned char>(field.front()) & kSign) != 0) return corrupt("a negative size");
  uint64_t value = static_cast<unsigned char>(field.front()) & 0x3FU;
  for (const char c : field.substr(1)) {
    if (value >> 55U != 0) return corrupt("a size that no file can have");
    value = (value << 8U) | static_cast<unsigned char>(c);
  }
  return value;
}

// Octal digits after blanks, as every tar writes them, or GNU's binary form.
Result<uint64_t> parse_size_field(std::string_view field) {
  if ((static_cast<unsigned char>(field.front()) & 0x80U) != 0) return parse_base256(field);
  field.remove_prefix(std::min(field.find_first_not_of(" \t"), field.size()));
  if (field.starts_with('-')) return corrupt("a negative size");
  uint64_t value = 0;
  for (const char c : field) {
    if (c < '0' || c > '7') break;
    value = value * 8 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

Result<uint64_t> parse_decimal(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > INT64_MAX) {
    return corrupt("a number in an extension header that is none");
  }
  return value;
}

// Only attribute values are binary.
bool may_be_binary(std::string_view key) {
  return key.starts_with("SCHILY.xattr.") || key.starts_with("LIBARCHIVE.xattr.");
}

}  // namespace

Result<> TarGate::feed(std::string_view bytes) {
  while (!bytes.empty()) bytes.remove_prefix(TRY(step(bytes)));
  return {};
}

// Consumes some of the bytes and says how many.
Result<size_t> TarGate::step(std::string_view bytes) {
  switch (part_) {
    case Part::kHeader:
    case Part::kSparseMap:
      return fill_block(bytes);
    case Part::kExtension:
      return fill_extension(bytes);
    case Part::kContent: {
      const auto count = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
      remaining_ -= count;
      if (remaining_ == 0) part_ = Part::kHeader;
      return count;
    }
    case Part::kTail:
      break;
  }
  tail_ += bytes.size();
  if (tail_ > kMaxTail) return corrupt("too much behind the end of the archive");
  return bytes.size();
}

Result<size_t> TarGate::fill_block(std::string_view bytes) {
  const size_t count = std::min(kBlock - filled_, bytes.size());
  std::copy_n(bytes.begin(), count, block_.data() + filled_);
  filled_ += count;
  if (filled_ < kBlock) return count;
  filled_ = 0;
  if (part_ == Part::kHeader) {
    TRY(header());
  } else if (block_[kGnuMapIsExtendedAt] == 0) {
    part_ = remaining_ == 0 ? Part::kHeader : Part::kContent;
  }
  return count;
}

Result<size_t> TarGate::fill_extension(std::string_view bytes) {
  const uint64_t wanted = extension_size_ - extension_.size();
  if (wanted > 0) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(wanted, bytes.size()));
    extension_.append(bytes.substr(0, count));
    if (count == wanted) {
      TRY(extension());
      if (remaining_ == 0) part_ = Part::kHeader;
    }
    return count;
  }
  const auto padding = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
  remaining_ -= padding;
  if (remaining_ == 0) part_ = Part::kHeader;
  return padding;
}

Result<> TarGate::header() {
  const std::string_view block(block_.data(), kBlock);
  if (block.find_first_not_of('\0') == std::string_view::npos) {
    part_ = Part::kTail;
    return {};
  }
  if (hides_text(block.substr(kNameAt, kNameLength)) ||
      hides_text(block.substr(kLinkAt, kNameLength))) {
    return corrupt("a name with a NUL byte");
  }
  uint64_t size = TRY(parse_size_field(block.substr(kSizeAt, kSizeLength)));
  const char type = block[kTypeAt];
  if (std::string_view("xXgLK").find(type) != std::string_view::npos) {
    return extension_header(type, size);
  }
  if (type == 'V' || type == 'A') {  // libarchive recurses for these, too
    if (++chained_ > kMaxChained) return corrupt("too many extension headers in a row");
  } else {
    chained_ = 0;
    if (pax_size_) size = *std::exchange(pax_size_, std::nullopt);
  }
  if (type == '1' && size != 0) return corrupt("a hard link with content");
  if (type >= '1' && type <= '6') size = 0;
  content(size);
  if (type == 'S' && block[kGnuIsExtendedAt] != 0) part_ = Part::kSparseMap;
  return {};
}

void TarGate::content(uint64_t size) {
  remaining_ = (size + kBlock - 1) / kBlock * kBlock;
  if (remaining_ > 0) part_ = Part::kContent;
}

Result<> TarGate::extension_header(char type, uint64_t size) {
  if (size > kMaxExtension) {
    return fail(ErrorCode::kLimitExceeded, "malformed tar: an extension header of {}",
                format_size(size));
  }
  if (++chained_ > kMaxChained) return corrupt("too many extension headers in a row");
  extension_.clear();
  extension_type_ = type;
  extension_size_ = size;
  remaining_ = (kBlock - size % kBlock) % kBlock;
  part_ = size == 0 ? Part::kHeader : Part::kExtension;
  return {};
}

// A complete extension: a long name of GNU tar, or records of pax.
Result<> TarGate::extension() {
  if (extension_type_ == 'L' || extension_type_ == 'K') {
    if (hides_text(extension_)) return corrupt("a name with a NUL byte");
    return {};
  }
  return pax_records(extension_);
}

// "LENGTH KEY=VALUE\n", LENGTH counting all of it (pax(1), extended header).
Result<> TarGate::pax_records(std::string_view records) {
  while (!records.empty()) {
    const size_t space = records.find(' ');
    if (space == std::string_view::npos) return corrupt("an extension header without lengths");
    const uint64_t length = TRY(parse_decimal(records.substr(0, space)));
    if (length <= space + 1 || length > records.size() || records[length - 1] != '\n') {
      return corrupt("an extension header with a wrong length");
    }
    const std::string_view record = records.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return corrupt("an extension header without a key");
    }
    TRY(pax_record(record.substr(0, equals), record.substr(equals + 1)));
    records.remove_prefix(length);
  }
  return {};
}

Result<> TarGate::pax_record(std::string_view key, std::string_view value) {
  if (key.find('\0') != std::string_view::npos ||
      (!may_be_binary(key) && value.find('\0') != std::string_view::npos)) {
    return corrupt("a name with a NUL byte");
  }
  // libarchive ignores global headers, so a size there changes nothing.
  if (key == "size" && extension_type_ != 'g') pax_size_ = TRY(parse_decimal(value));
  return {};
}

}  // namespace trivet::image
