// One repository on one registry: where it is, what proves who we are, and how often to try.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "image/auth.h"
#include "image/http.h"
#include "image/registry.h"

namespace trivet::image {

inline constexpr int kMaxAttempts = 5;

// A place that serves the repository.
struct Endpoint {
  std::string host;    // "registry-1.docker.io", "127.0.0.1:5000"
  std::string scheme;  // "https", "http"; empty: to be found out (loopback)
  bool is_mirror = false;
};

// The mirrors in order, then the registry itself. kInvalidArgument for a mirror that is no
// "http[s]://host[:port]".
Result<std::vector<Endpoint>> list_endpoints(const Reference& reference,
                                             const RegistryOptions& options);

// What all workers of one pull or push share. Thread-safe after open().
class RegistrySession {
 public:
  enum class Access { kPull, kPush };

  // Looks up credentials (those in the options are for the registry itself, never for a mirror) and
  // certificates; for a loopback registry finds out whether it speaks HTTPS or HTTP.
  static Result<std::shared_ptr<RegistrySession>> open(const Endpoint& endpoint,
                                                       const Reference& reference, Access access,
                                                       const RegistryOptions& options,
                                                       const Bounds& bounds);

  // "http://127.0.0.1:5000/v2/a/b/" + path.
  [[nodiscard]] std::string url(std::string_view path) const;
  [[nodiscard]] const std::string& host() const { return endpoint_.host; }
  [[nodiscard]] Result<HttpClient> connect(const Bounds& bounds) const;

  struct Grant {
    Authorization authorization;
    int generation = 0;
  };
  // What was last granted; nothing at first.
  [[nodiscard]] Grant grant() const;
  // Answers a 401 to a request that used the grant `used`. One thread does it, the others take over
  // what it got.
  Result<Grant> renew(HttpClient& client, const HttpResponse& refusal, int used);
  // "unauthorized" with what a person can do.
  [[nodiscard]] Error refused(std::string_view why) const;

 private:
  RegistrySession(Endpoint endpoint, std::string repository, Access access)
      : endpoint_(std::move(endpoint)), repository_(std::move(repository)), access_(access) {}
  Result<> find_scheme(const Bounds& bounds);
  Result<Authorization> answer(HttpClient& client, const HttpResponse& refusal) const;

  Endpoint endpoint_;
  std::string repository_;
  Access access_;
  Credentials credentials_;
  TlsSettings tls_;
  mutable std::mutex mutex_;
  Grant grant_;
};

// One worker's connection.
class RegistryConnection {
 public:
  // Called before each wait for another try.
  using OnRetry = std::function<void(const std::string& why)>;

  static Result<RegistryConnection> open(std::shared_ptr<RegistrySession> session,
                                         const Bounds& bounds);

  // One request with authorization, repeated once with a new grant after a 401. Requests to other
  // hosts than the registry's carry no authorization. Any other status is returned.
  Result<HttpResponse> send(HttpRequest request);

  // Calls `attempt` until it gives something that trying again can't better: not kNetwork, not a
  // status of 408, 429 or 5xx; at most kMaxAttempts times, with back-off, minding Retry-After.
  Result<HttpResponse> retry(const std::function<Result<HttpResponse>()>& attempt,
                             const OnRetry& on_retry = {});

  [[nodiscard]] RegistrySession& session() { return *session_; }

 private:
  RegistryConnection(std::shared_ptr<RegistrySession> session, HttpClient client)
      : session_(std::move(session)), client_(std::move(client)) {}
  std::shared_ptr<RegistrySession> session_;
  HttpClient client_;
};

// The same loop for what is no connection's request.
Result<HttpResponse> retry_request(const Bounds& bounds,
                                   const std::function<Result<HttpResponse>()>& attempt,
                                   const RegistryConnection::OnRetry& on_retry = {});

// The failure that a response of an unwanted status stands for: kNotFound for 404, kUnauthorized
// for 401 and 403, else kNetwork; with the registry's own words if its body has some.
[[nodiscard]] Error status_error(const RegistrySession& session, const HttpResponse& response,
                                 std::string_view what);

}  // namespace trivet::image
