// SHA-256 digests as image-spec writes them: "sha256:" and 64 lower-case hex digits.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_md_ctx_st;

namespace trivet::image {

// Computes a digest while content streams by. Move-only; one thread at a time.
class Sha256 {
 public:
  Sha256();
  void update(std::string_view chunk);
  // The digest of everything so far. The object starts anew afterwards.
  [[nodiscard]] std::string finish();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

[[nodiscard]] std::string digest_of(std::string_view content);

// The digest of what is left to read of `fd`; `name` is for the error text.
Result<std::string> digest_of_fd(int fd, std::string_view name);

// The hex digits of a digest that was checked with oci::check_digest before.
[[nodiscard]] std::string hex_of(std::string_view digest);

// "sha256:0123456789ab…": for error texts and tables.
[[nodiscard]] std::string short_digest(std::string_view digest);

}  // namespace trivet::image
