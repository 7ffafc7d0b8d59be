// SHA-256 (FIPS 180-4) for the static programs, which link no cryptographic library: it says
// whether a file is the one that was written. What comes from the network is hashed in
// image/digest.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace trivet {

class Sha256Sum {
 public:
  void update(std::string_view bytes);
  // 64 lower-case hex digits. The object is used up.
  [[nodiscard]] std::string finish();

 private:
  static constexpr size_t kBlock = 64;
  void take_block(const unsigned char* block);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, kBlock> pending_{};
  uint64_t length_ = 0;
};

[[nodiscard]] std::string sha256_of(std::string_view bytes);
// Of what is left to read of `fd`; `name` is for the error text.
Result<std::string> sha256_of_fd(int fd, std::string_view name);

}  // namespace trivet
