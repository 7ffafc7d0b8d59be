#include "image/registry_session.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "base/json.h"
#include "base/text.h"

namespace trivet::image {

namespace {

std::string host_for(const std::string& registry) {
  return registry == "docker.io" ? "registry-1.docker.io" : registry;
}

// The first message of distribution-spec's error document; what the registry says goes to a
// terminal, so control characters are left out.
std::string registry_message(const HttpResponse& response) {
  const auto document = parse_json(response.body, "error");
  if (!document || !document->is_object() || !document->contains("errors")) return {};
  const Json& errors = (*document)["errors"];
  if (!errors.is_array() || errors.empty() || !errors[0].is_object()) return {};
  std::string text;
  for (const char* key : {"message", "code"}) {
    if (text.empty() && errors[0].contains(key) && errors[0][key].is_string()) {
      text = errors[0][key].get<std::string>().substr(0, 200);
    }
  }
  std::erase_if(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  return text;
}

}  // namespace

Result<std::vector<Endpoint>> list_endpoints(const Reference& reference,
                                             const RegistryOptions& options) {
  std::vector<Endpoint> result;
  for (const std::string& mirror : options.mirrors) {
    const size_t colon = mirror.find("://");
    const std::string scheme = mirror.substr(0, colon);
    std::string host = colon == mirror.npos ? "" : mirror.substr(colon + 3);
    while (host.ends_with('/')) host.pop_back();
    if ((scheme != "http" && scheme != "https") || origin_of(mirror).empty() || host.empty() ||
        host.find_first_of("/?#@") != host.npos) {
      return std::unexpected(Error(ErrorCode::kInvalidArgument,
                                   fmt::format("mirror \"{}\" is no URL of a host", mirror))
                                 .hint("write it as https://host or https://host:port"));
    }
    result.push_back({.host = std::move(host), .scheme = scheme, .is_mirror = true});
  }
  const bool loopback = is_loopback(reference.registry);
  const char* scheme = loopback ? "" : "https";
  if (options.plain_http) scheme = "http";
  result.push_back({.host = host_for(reference.registry), .scheme = scheme});
  return result;
}

Result<std::shared_ptr<RegistrySession>> RegistrySession::open(const Endpoint& endpoint,
                                                               const Reference& reference,
                                                               Access access,
                                                               const RegistryOptions& options,
                                                               const Bounds& bounds) {
  // The constructor is private: no make_shared.
  std::shared_ptr<RegistrySession> session(
      new RegistrySession(endpoint, reference.repository, access));  // NOLINT
  session->tls_ = TRY(load_tls_settings(endpoint.host, options.tls_verify, options.ca_file));
  if (endpoint.is_mirror) {
    session->credentials_ =
        TRY(find_credentials(options.auth_file, endpoint.host, reference.repository));
  } else if (!options.credentials.empty()) {
    session->credentials_ = TRY(parse_credentials(options.credentials));
  } else {
    session->credentials_ =
        TRY(find_credentials(options.auth_file, reference.registry, reference.repository));
  }
  if (session->endpoint_.scheme.empty()) TRY(session->find_scheme(bounds));
  return session;
}

// As Docker does for loopback registries: HTTPS, and when nobody speaks that there, HTTP. A
// certificate that doesn't verify is no reason to fall back: the requests that follow refuse it.
Result<> RegistrySession::find_scheme(const Bounds& bounds) {
  // Nothing is believed of what the probe answers: it needs no certificate.
  HttpClient client = TRY(HttpClient::create({.verify = false}, bounds));
  const auto probe = [&]() -> Result<HttpResponse> {
    Result<HttpResponse> answer = fail(ErrorCode::kNetwork, "not tried");
    for (const char* scheme : {"https", "http"}) {
      endpoint_.scheme = scheme;
      HttpRequest request;
      request.url = fmt::format("{}://{}/v2/", scheme, endpoint_.host);
      answer = client.perform(request);
      if (answer || answer.error().code() != ErrorCode::kNetwork) return answer;
    }
    return answer;
  };
  const auto answer = retry_request(bounds, probe);
  // Any status will do here: the requests that follow have better words for it.
  if (answer) return {};
  return std::unexpected(
      Error(answer.error()).in("registry " + endpoint_.host).hint("is the registry running?"));
}

std::string RegistrySession::url(std::string_view path) const {
  return fmt::format("{}://{}/v2/{}/{}", endpoint_.scheme, endpoint_.host, repository_, path);
}

Result<HttpClient> RegistrySession::connect(const Bounds& bounds) const {
  return HttpClient::create(tls_, bounds);
}

RegistrySession::Grant RegistrySession::grant() const {
  const std::lock_guard lock(mutex_);
  return grant_;
}

Error RegistrySession::refused(std::string_view why) const {
  const std::string_view hint =
      credentials_.empty()
          ? "the image may not exist, or be private: pass --creds USER:PASSWORD, or log in with "
            "`docker login {0}` or `podman login {0}`"
          : "check the name of the image, and the credentials: pass --creds USER:PASSWORD, or log "
            "in again with `docker login {0}` or `podman login {0}`";
  return Error(ErrorCode::kUnauthorized, fmt::format("registry {} denies access to \"{}\": {}",
                                                     endpoint_.host, repository_, why))
      .hint(fmt::format(fmt::runtime(hint), endpoint_.host));
}

Result<Authorization> RegistrySession::answer(HttpClient& client,
                                              const HttpResponse& refusal) const {
  const auto challenges = parse_challenges(refusal.header("www-authenticate"));
  const auto challenge_of = [&](std::string_view scheme) {
    return std::ranges::find(challenges, scheme, &Challenge::scheme);
  };
  if (const auto bearer = challenge_of("bearer"); bearer != challenges.end()) {
    if (!credentials_.registry_token.empty()) {
      return Authorization{.kind = Authorization::Kind::kBearer,
                           .secret = credentials_.registry_token};
    }
    const std::string scope = fmt::format("repository:{}:{}", repository_,
                                          access_ == Access::kPull ? "pull" : "pull,push");
    auto token = fetch_token(client, *bearer, scope, credentials_);
    if (!token && token.error().code() == ErrorCode::kUnauthorized) {
      return std::unexpected(refused(token.error().message()));
    }
    return token;
  }
  if (challenge_of("basic") == challenges.end()) {
    return std::unexpected(refused("it asks for no kind of authentication that trivet knows"));
  }
  if (credentials_.user.empty()) return std::unexpected(refused("it asks for a user name"));
  return Authorization{.kind = Authorization::Kind::kBasic,
                       .user = credentials_.user,
                       .secret = credentials_.password};
}

Result<RegistrySession::Grant> RegistrySession::renew(HttpClient& client,
                                                      const HttpResponse& refusal, int used) {
  const std::lock_guard lock(mutex_);
  if (grant_.generation != used) return grant_;
  grant_.authorization = TRY(answer(client, refusal));
  ++grant_.generation;
  return grant_;
}

Result<RegistryConnection> RegistryConnection::open(std::shared_ptr<RegistrySession> session,
                                                    const Bounds& bounds) {
  HttpClient client = TRY(session->connect(bounds));
  return RegistryConnection(std::move(session), std::move(client));
}

Result<HttpResponse> RegistryConnection::send(HttpRequest request) {
  const bool ours = origin_of(request.url) == origin_of(session_->url(""));
  const RegistrySession::Grant grant = session_->grant();
  if (ours) request.authorization = grant.authorization;
  HttpResponse response = TRY(client_.perform(request));
  if (response.status != 401 || !ours) return response;
  const RegistrySession::Grant renewed = TRY(session_->renew(client_, response, grant.generation));
  request.authorization = renewed.authorization;
  return client_.perform(request);
}

Result<HttpResponse> RegistryConnection::retry(const std::function<Result<HttpResponse>()>& attempt,
                                               const OnRetry& on_retry) {
  return retry_request(client_.bounds(), attempt, on_retry);
}

Error status_error(const RegistrySession& session, const HttpResponse& response,
                   std::string_view what) {
  std::string why = registry_message(response);
  if (why.empty()) why = fmt::format("status {}", response.status);
  if (response.status == 401 || response.status == 403) return session.refused(why);
  const ErrorCode code = response.status == 404 ? ErrorCode::kNotFound : ErrorCode::kNetwork;
  return Error(code, fmt::format("{}: registry {} answered {}: {}", what, session.host(),
                                 response.status, why));
}

}  // namespace trivet::image
