#include "image/http_tls.h"

#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <vector>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "base/fs.h"
#include "image/http.h"

namespace trivet::image {

namespace {

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct CertificateDeleter {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, CertificateDeleter>;

std::vector<Certificate> parse_certificates(const std::string& pem) {
  std::vector<Certificate> result;
  const std::unique_ptr<BIO, BioDeleter> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (bio) {
    Certificate next(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (!next) break;
    result.push_back(std::move(next));
  }
  ERR_clear_error();  // the end of the text is one
  return result;
}

Result<std::string> read_authorities(const std::string& path) {
  std::string pem = TRY(read_file(path, 16U << 20U));
  if (parse_certificates(pem).empty()) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" holds no certificate in PEM form", path);
  }
  return pem + "\n";
}

std::vector<std::string> certificate_directories(const std::string& host) {
  std::vector<std::string> result{"/etc/containers/certs.d/" + host, "/etc/docker/certs.d/" + host};
  if (const char* home = std::getenv("HOME"); home != nullptr) {
    result.insert(result.begin(), fmt::format("{}/.config/containers/certs.d/{}", home, host));
  }
  return result;
}

Result<> add_directory(const std::string& directory, TlsSettings& settings) {
  if (!exists(directory)) return {};
  for (const std::string& name : TRY(list_dir(AT_FDCWD, directory))) {
    const std::string path = directory + "/" + name;
    if (name.ends_with(".crt")) {
      settings.ca_pem += TRY(read_authorities(path));
    } else if (name.ends_with(".cert") && settings.client_certificate.empty()) {
      const std::string key = path.substr(0, path.size() - 5) + ".key";
      if (!exists(key)) {
        return fail(ErrorCode::kInvalidArgument, "\"{}\" has no \"{}\" beside it", path, key);
      }
      settings.client_certificate = path;
      settings.client_key = key;
    }
  }
  return {};
}

}  // namespace

bool trust_authorities(void* ssl_ctx, const std::string& ca_pem) {
  auto* const context = static_cast<SSL_CTX*>(ssl_ctx);
  if (SSL_CTX_set_default_verify_paths(context) != 1) return false;
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  for (const Certificate& certificate : parse_certificates(ca_pem)) {
    if (X509_STORE_add_cert(store, certificate.get()) != 1) return false;
  }
  return true;
}

Result<TlsSettings> load_tls_settings(const std::string& host, bool verify,
                                      const std::string& ca_file) {
  TlsSettings settings{.verify = verify};
  if (!ca_file.empty())
    settings.ca_pem = TRY_IN(read_authorities(ca_file), "certificate authorities");
  for (const std::string& directory : certificate_directories(host)) {
    TRY_IN(add_directory(directory, settings), "certificates for {}", host);
  }
  return settings;
}

}  // namespace trivet::image
