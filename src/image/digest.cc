#include "image/digest.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <unistd.h>
#include <vector>

#include <openssl/evp.h>

#include "base/sha256.h"

namespace trivet::image {

namespace {
constexpr std::string_view kPrefix = "sha256:";
constexpr size_t kShortHexDigits = 12;

// Out of memory, or an OpenSSL without SHA-256: nothing a caller could act on.
void require(int ok) {
  if (ok != 1) std::abort();
}
}  // namespace

void Sha256::Free::operator()(evp_md_ctx_st* context) const {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  require(context_ != nullptr ? 1 : 0);
  require(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::update(std::string_view chunk) {
  require(EVP_DigestUpdate(context_.get(), chunk.data(), chunk.size()));
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int length = 0;
  require(EVP_DigestFinal_ex(context_.get(), bytes.data(), &length));
  require(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string text(kPrefix);
  for (size_t i = 0; i < length; ++i) {
    text += kHex[bytes[i] >> 4U];
    text += kHex[bytes[i] & 0xFU];
  }
  return text;
}

std::string digest_of(std::string_view content) {
  // Up to here, loading libcrypto takes longer than it saves.
  constexpr size_t kSmall = size_t{512} << 10U;
  if (content.size() <= kSmall) return std::string(kPrefix) + sha256_of(content);
  Sha256 hash;
  hash.update(content);
  return hash.finish();
}

Result<std::string> digest_of_fd(int fd, std::string_view name) {
  Sha256 hash;
  std::vector<char> buffer(size_t{256} << 10U);
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read \"{}\"", name);
    if (count == 0) return hash.finish();
    hash.update({buffer.data(), static_cast<size_t>(count)});
  }
}

std::string hex_of(std::string_view digest) {
  if (digest.starts_with(kPrefix)) digest.remove_prefix(kPrefix.size());
  return std::string(digest);
}

std::string short_digest(std::string_view digest) {
  return std::string(kPrefix) + hex_of(digest).substr(0, kShortHexDigits);
}

}  // namespace trivet::image
