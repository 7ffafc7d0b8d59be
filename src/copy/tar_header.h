// Inside of module copy: the block that a tar entry begins with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trivet::copy {

inline constexpr size_t kTarBlock = 512;
inline constexpr uint64_t kMaxOctal7 = (1ULL << 21U) - 1;
inline constexpr uint64_t kMaxOctal11 = (1ULL << 33U) - 1;

// Of TarEntry::Type, in its order.
inline constexpr std::string_view kTypeFlags = "0123456";

struct TarHeader {
  std::array<char, 100> name;
  std::array<char, 8> mode;
  std::array<char, 8> uid;
  std::array<char, 8> gid;
  std::array<char, 12> size;
  std::array<char, 12> mtime;
  std::array<char, 8> checksum;
  char type;
  std::array<char, 100> link;
  std::array<char, 8> magic;  // "ustar", NUL, "00"
  std::array<char, 32> user;
  std::array<char, 32> group;
  std::array<char, 8> major;
  std::array<char, 8> minor;
  std::array<char, 155> prefix;
  std::array<char, 12> unused;
};
static_assert(sizeof(TarHeader) == kTarBlock);

// The sum of all bytes, the checksum's own counted as spaces.
[[nodiscard]] inline uint64_t tar_checksum(const TarHeader& header) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&header);
  uint64_t sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    const bool own = i >= offsetof(TarHeader, checksum) &&
                     i < offsetof(TarHeader, checksum) + sizeof header.checksum;
    sum += own ? ' ' : bytes[i];
  }
  return sum;
}

}  // namespace trivet::copy
