// The gate in front of the tar reader: looks at the raw bytes of a tar before libarchive does.
//
// libarchive hands out names as C strings, recurses once for every extension header, and allocates
// what an extension header says. So the gate walks the 512-byte blocks itself and refuses what must
// not get that far: NUL bytes inside names, extension headers that are huge, malformed or chained
// without end, negative sizes, and content after the end of the archive that is more than padding.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet::image {

class TarGate {
 public:
  // Takes the next bytes of the tar in pieces of any size. kCorrupt or kLimitExceeded; the gate is
  // not to be fed again after that.
  Result<> feed(std::string_view bytes);
  // Whether the end-of-archive block was seen.
  [[nodiscard]] bool ended() const { return part_ == Part::kTail; }

 private:
  static constexpr size_t kBlock = 512;
  using Block = std::array<char, kBlock>;
  enum class Part { kHeader, kSparseMap, kExtension, kContent, kTail };

  Result<size_t> step(std::string_view bytes);
  Result<size_t> fill_block(std::string_view bytes);
  Result<size_t> fill_extension(std::string_view bytes);
  Result<> header();
  Result<> extension_header(char type, uint64_t size);
  Result<> extension();
  Result<> pax_records(std::string_view records);
  Result<> pax_record(std::string_view key, std::string_view value);
  void content(uint64_t size);

  Part part_ = Part::kHeader;
  Block block_{};
  size_t filled_ = 0;       // of block_
  uint64_t remaining_ = 0;  // of the content with its padding, or of the extension's padding
  std::string extension_;   // body so far
  uint64_t extension_size_ = 0;
  char extension_type_ = 0;
  int chained_ = 0;  // extension headers in a row
  std::optional<uint64_t> pax_size_;
  uint64_t tail_ = 0;
};

}  // namespace trivet::image
