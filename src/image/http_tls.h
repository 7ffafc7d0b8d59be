// Whom TLS trusts.
#pragma once

#include <string>

#include "base/result.h"

namespace trivet::image {

// Makes an SSL_CTX trust the system's authorities (OpenSSL's default directory, from which only
// what is needed is read: libcurl's way, reading the whole bundle for each connection, costs 60 ms;
// or $SSL_CERT_FILE and $SSL_CERT_DIR) and those in `ca_pem`. False when OpenSSL can't.
[[nodiscard]] bool trust_authorities(void* ssl_ctx, const std::string& ca_pem);

}  // namespace trivet::image
