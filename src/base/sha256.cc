#include "base/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unistd.h>
#include <vector>

namespace trivet {

namespace {

constexpr std::array<uint32_t, 64> kRounds{
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t big_endian(const unsigned char* bytes) {
  return uint32_t{bytes[0]} << 24U | uint32_t{bytes[1]} << 16U | uint32_t{bytes[2]} << 8U |
         uint32_t{bytes[3]};
}

std::array<uint32_t, 64> schedule(const unsigned char* block) {
  std::array<uint32_t, 64> words{};
  for (size_t i = 0; i < 16; ++i) words[i] = big_endian(block + 4 * i);
  for (size_t i = 16; i < words.size(); ++i) {
    const uint32_t a = words[i - 15];
    const uint32_t b = words[i - 2];
    words[i] = words[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3U) + words[i - 7] +
               (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10U);
  }
  return words;
}

}  // namespace

void Sha256Sum::take_block(const unsigned char* block) {
  const auto words = schedule(block);
  auto [a, b, c, d, e, f, g, h] = state_;
  for (size_t i = 0; i < words.size(); ++i) {
    const uint32_t first = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                           ((e & f) ^ (~e & g)) + kRounds[i] + words[i];
    const uint32_t second =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g;
    g = f;
    f = e;
    e = d + first;
    d = c;
    c = b;
    b = a;
    a = first + second;
  }
  const std::array<uint32_t, 8> sums{a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < sums.size(); ++i) state_[i] += sums[i];
}

void Sha256Sum::update(std::string_view bytes) {
  size_t filled = length_ % kBlock;
  length_ += bytes.size();
  while (!bytes.empty()) {
    if (filled == 0 && bytes.size() >= kBlock) {
      std::array<unsigned char, kBlock> block;  // NOLINT(cppcoreguidelines-pro-type-member-init)
      std::memcpy(block.data(), bytes.data(), kBlock);
      take_block(block.data());
      bytes.remove_prefix(kBlock);
      continue;
    }
    const size_t count = std::min(bytes.size(), kBlock - filled);
    std::memcpy(pending_.data() + filled, bytes.data(), count);
    bytes.remove_prefix(count);
    filled = (filled + count) % kBlock;
    if (filled == 0) take_block(pending_.data());
  }
}

std::string Sha256Sum::finish() {
  constexpr size_t kLengthBytes = 8;
  const uint64_t bits = length_ * 8;
  const size_t filled = length_ % kBlock;
  const size_t zeros = (2 * kBlock - kLengthBytes - 1 - filled) % kBlock;
  std::string tail(1 + zeros, '\0');
  tail[0] = '\x80';
  for (unsigned shift = 64; shift > 0; shift -= 8) tail += static_cast<char>(bits >> (shift - 8));
  update(tail);
  std::string hex;
  for (const uint32_t word : state_) hex += fmt::format("{:08x}", word);
  return hex;
}

std::string sha256_of(std::string_view bytes) {
  Sha256Sum sum;
  sum.update(bytes);
  return sum.finish();
}

Result<std::string> sha256_of_fd(int fd, std::string_view name) {
  Sha256Sum sum;
  std::vector<char> buffer(size_t{256} << 10U);
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read \"{}\"", name);
    if (count == 0) return sum.finish();
    sum.update({buffer.data(), static_cast<size_t>(count)});
  }
}

}  // namespace trivet
