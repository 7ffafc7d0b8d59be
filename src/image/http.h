// One HTTP client on libcurl, as the registry protocol needs it: bounded in time and size,
// cancelable, and careful with credentials.
//
// Only http and https are spoken, and an https request is never redirected to http. Credentials go
// to the host of the request alone, not along redirects to another host, port or scheme, and never
// over plain http except to a loopback address.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::image {

using Clock = std::chrono::steady_clock;

// When a request gives up.
struct Bounds {
  Clock::time_point deadline;      // kTimeout
  std::stop_token stop;            // kCanceled
  std::chrono::seconds stall{30};  // this long below 100 bytes a second: kNetwork
};

struct Authorization {
  enum class Kind { kNone, kBasic, kBearer };
  Kind kind = Kind::kNone;
  std::string user;    // kBasic
  std::string secret;  // the password or the token
};

struct HttpResponse {
  int status = 0;
  // Names in lower case; repeated headers are joined by ", ".
  std::map<std::string, std::string, std::less<>> headers;
  // At most HttpRequest::response_limit bytes; empty when on_body took it.
  std::string body;

  [[nodiscard]] bool ok() const { return status >= 200 && status < 300; }
  // Empty when there is none.
  [[nodiscard]] std::string header(std::string_view name) const;
};

struct HttpRequest {
  std::string method = "GET";  // also HEAD, POST, PUT; only GET and HEAD follow redirects
  std::string url;
  std::vector<std::string> headers;  // "Name: value"
  Authorization authorization;
  std::string body;        // of POST and PUT
  int body_fd = -1;        // instead of `body`: the first body_size bytes of this file
  uint64_t body_size = 0;  // of body_fd
  std::function<void(uint64_t)> on_sent;  // bytes of body_fd handed to the network so far
  uint64_t response_limit = 1U << 20U;    // kLimitExceeded beyond; not applied to on_body
  // Takes the body of a 2xx response piece by piece; its error ends the request and is returned.
  std::function<Result<>(const HttpResponse& head, std::string_view chunk)> on_body;
};

struct TlsSettings {
  bool verify = true;
  std::string ca_pem;              // trusted besides the system's authorities
  std::string client_certificate;  // path of a PEM file, may be empty
  std::string client_key;
};

// `ca_file` (may be empty) and the files in certs.d/HOST[:PORT] below /etc/containers, /etc/docker
// and ~/.config/containers: *.crt are authorities, NAME.cert with NAME.key is our certificate
// (containers-certs.d(5)). A `ca_file` that can't be read is an error.
Result<TlsSettings> load_tls_settings(const std::string& host, bool verify,
                                      const std::string& ca_file);

// "localhost", 127.0.0.0/8 or ::1, with or without a port.
[[nodiscard]] bool is_loopback(std::string_view host);
// "https://host:port" of a URL; empty when it is none of http or https.
[[nodiscard]] std::string origin_of(const std::string& url);
// `reference` (absolute or relative) as seen from `base`; kCorrupt when that makes no URL.
Result<std::string> resolve_url(const std::string& base, const std::string& reference);
// For a query: everything but RFC 3986's unreserved characters as %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);

// Keeps connections alive between requests. For one thread at a time: each worker has its own.
class HttpClient {
 public:
  static Result<HttpClient> create(TlsSettings tls, Bounds bounds);
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient();

  // Any status is a success. Errors: kNetwork when trying again may help, kTimeout at the deadline,
  // kCanceled, kPermissionDenied when TLS verification fails, kSystem when the name doesn't
  // resolve, kCorrupt for what no HTTP server should answer, or the error of on_body.
  Result<HttpResponse> perform(const HttpRequest& request);

  [[nodiscard]] const Bounds& bounds() const;

 private:
  struct State;
  explicit HttpClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace trivet::image
