#include "image/http.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <mutex>
#include <optional>
#include <unistd.h>
#include <utility>

#include <curl/curl.h>

#include "base/text.h"
#include "image/http_tls.h"
#include "image/http_url.h"

namespace trivet::image {

namespace {

constexpr long kConnectSeconds = 15;
constexpr long kStallBytesPerSecond = 100;
constexpr long kMaxRedirects = 10;
constexpr size_t kErrorBodyLimit = 64U << 10U;

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

struct CurlDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct SlistDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// What the callbacks of one request share.
struct Transfer {
  const HttpRequest* request = nullptr;
  const Bounds* bounds = nullptr;
  HttpResponse response;
  std::optional<Error> failure;
  bool cut = false;  // an error page longer than anybody reads
  uint64_t sent = 0;
};

// A line that starts with "HTTP/" begins the headers of the next response: after a redirect or a
// 100 Continue what was collected so far belongs to the past.
size_t on_header(char* data, size_t /*one*/, size_t size, void* user) {
  HttpResponse& response = static_cast<Transfer*>(user)->response;
  const std::string_view line = trim(std::string_view(data, size));
  if (line.starts_with("HTTP/")) {
    response = {};
    const size_t space = line.find(' ');
    if (space != line.npos) {
      response.status = static_cast<int>(parse_int(line.substr(space + 1, 3)).value_or(0));
    }
  } else if (const size_t colon = line.find(':'); colon != line.npos) {
    std::string& value = response.headers[lower(trim(line.substr(0, colon)))];
    if (!value.empty()) value += ", ";
    value += trim(line.substr(colon + 1));
  }
  return size;
}

Result<> take_body(Transfer& transfer, std::string_view chunk) {
  HttpResponse& response = transfer.response;
  const HttpRequest& request = *transfer.request;
  if (response.ok() && request.on_body) return request.on_body(response, chunk);
  if (!response.ok()) {
    transfer.cut = response.body.size() + chunk.size() > kErrorBodyLimit;
    response.body.append(chunk.substr(0, kErrorBodyLimit - response.body.size()));
  } else if (response.body.size() + chunk.size() > request.response_limit) {
    return fail(ErrorCode::kLimitExceeded, "the answer is longer than the limit of {}",
                format_size(request.response_limit));
  } else {
    response.body.append(chunk);
  }
  return {};
}

size_t on_write(char* data, size_t /*one*/, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  auto taken = take_body(transfer, std::string_view(data, size));
  if (taken) return transfer.cut ? 0 : size;
  transfer.failure = std::move(taken).error();
  return 0;
}

size_t on_read(char* buffer, size_t one, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const HttpRequest& request = *transfer.request;
  const size_t room = std::min<uint64_t>(one * count, request.body_size - transfer.sent);
  const ssize_t got = ::pread(request.body_fd, buffer, room, static_cast<off_t>(transfer.sent));
  if (got < 0 || (got == 0 && room > 0)) {
    transfer.failure = Error::from_errno(got < 0 ? errno : EIO, "read the file to send");
    return CURL_READFUNC_ABORT;
  }
  transfer.sent += static_cast<uint64_t>(got);
  if (request.on_sent) request.on_sent(transfer.sent);
  return static_cast<size_t>(got);
}

int on_seek(void* user, curl_off_t offset, int origin) {
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<Transfer*>(user)->sent = static_cast<uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

int on_tick(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(user)->bounds->stop.stop_requested() ? 1 : 0;
}

CURLcode on_tls_context(CURL* /*curl*/, void* context, void* user) {
  const bool trusted = trust_authorities(context, *static_cast<const std::string*>(user));
  return trusted ? CURLE_OK : CURLE_SSL_CACERT_BADFILE;
}

Error tls_error(std::string text) {
  return Error(ErrorCode::kPermissionDenied, std::move(text))
      .hint(
          "if you trust this registry, give its authority's certificate with --ca-file FILE, "
          "or use --tls-verify=false");
}

Error transfer_error(CURLcode code, std::string_view detail, const Bounds& bounds) {
  const std::string text(detail.empty() ? curl_easy_strerror(code) : detail);
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      return {ErrorCode::kCanceled, "canceled"};
    case CURLE_OPERATION_TIMEDOUT:
      if (Clock::now() >= bounds.deadline) {
        return {ErrorCode::kTimeout, "not done within the time limit"};
      }
      return {ErrorCode::kNetwork, text};
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Error(ErrorCode::kSystem, text)
          .hint("check the name of the registry and this host's DNS");
    case CURLE_PEER_FAILED_VERIFICATION:
      return tls_error(text);
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
      return {ErrorCode::kInvalidArgument, text};
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_TOO_MANY_REDIRECTS:
      return {ErrorCode::kCorrupt, text};
    case CURLE_SSL_CONNECT_ERROR:
      return Error(ErrorCode::kNetwork, text).hint("does the registry speak HTTPS on this port?");
    default:
      return {ErrorCode::kNetwork, text};
  }
}

// The query may carry a signature that gives access: it is not for error texts.
std::string printable(const HttpRequest& request) {
  return fmt::format("{} {}", request.method, request.url.substr(0, request.url.find('?')));
}

}  // namespace

std::string HttpResponse::header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

struct HttpClient::State {
  std::unique_ptr<CURL, CurlDeleter> curl;
  TlsSettings tls;
  Bounds bounds;
  CURLcode refused = CURLE_OK;  // the first option of a request that libcurl did not take

  template <typename T>
  void set(CURLoption option, T value) {
    const CURLcode code = curl_easy_setopt(curl.get(), option, value);
    if (refused == CURLE_OK) refused = code;
  }
  void set_limits(const HttpRequest& request);
  void set_tls();
  void set_authorization(const Authorization& authorization);
  void set_method(const HttpRequest& request);
  void set_callbacks(Transfer& transfer, char* error_buffer);
};

void HttpClient::State::set_limits(const HttpRequest& request) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(bounds.deadline - Clock::now()).count();
  set(CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<int64_t>(left, 1)));
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(CURLOPT_LOW_SPEED_LIMIT, kStallBytesPerSecond);
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(bounds.stall.count()));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  const bool https = request.url.starts_with("https:");
  set(CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
  set(CURLOPT_MAXREDIRS, kMaxRedirects);
  set(CURLOPT_USERAGENT, "trivet/" TRIVET_VERSION);
  // As Go's clients: loopback is never asked through a proxy.
  if (is_loopback(host_of(request.url))) set(CURLOPT_NOPROXY, "*");
}

void HttpClient::State::set_tls() {
  set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_CAINFO, static_cast<char*>(nullptr));
  set(CURLOPT_CAPATH, static_cast<char*>(nullptr));
  if (tls.verify) {
    set(CURLOPT_SSL_CTX_FUNCTION, &on_tls_context);
    set(CURLOPT_SSL_CTX_DATA, static_cast<void*>(&tls.ca_pem));
  }
  if (!tls.client_certificate.empty()) {
    set(CURLOPT_SSLCERT, tls.client_certificate.c_str());
    set(CURLOPT_SSLKEY, tls.client_key.c_str());
  }
}

void HttpClient::State::set_authorization(const Authorization& authorization) {
  // Through these options, not a header of ours, libcurl keeps credentials from other hosts.
  set(CURLOPT_UNRESTRICTED_AUTH, 0L);
  if (authorization.kind == Authorization::Kind::kBasic) {
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BASIC));
    set(CURLOPT_USERNAME, authorization.user.c_str());
    set(CURLOPT_PASSWORD, authorization.secret.c_str());
  } else if (authorization.kind == Authorization::Kind::kBearer) {
    set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    set(CURLOPT_XOAUTH2_BEARER, authorization.secret.c_str());
  }
}

void HttpClient::State::set_method(const HttpRequest& request) {
  if (request.method == "GET" || request.method == "HEAD") {
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(request.method == "GET" ? CURLOPT_HTTPGET : CURLOPT_NOBODY, 1L);
  } else if (request.body_fd >= 0) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body_size));
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  } else {
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    set(CURLOPT_POSTFIELDS, request.body.data());
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

void HttpClient::State::set_callbacks(Transfer& transfer, char* error_buffer) {
  void* const user = &transfer;
  set(CURLOPT_ERRORBUFFER, error_buffer);
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, user);
  set(CURLOPT_WRITEFUNCTION, &on_write);
  set(CURLOPT_WRITEDATA, user);
  set(CURLOPT_READFUNCTION, &on_read);
  set(CURLOPT_READDATA, user);
  set(CURLOPT_SEEKFUNCTION, &on_seek);
  set(CURLOPT_SEEKDATA, user);
  set(CURLOPT_XFERINFOFUNCTION, &on_tick);
  set(CURLOPT_XFERINFODATA, user);
  set(CURLOPT_NOPROGRESS, 0L);
}

HttpClient::HttpClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;
HttpClient::~HttpClient() = default;

const Bounds& HttpClient::bounds() const {
  return state_->bounds;
}

Result<HttpClient> HttpClient::create(TlsSettings tls, Bounds bounds) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  auto state = std::make_unique<State>();
  state->curl.reset(curl_easy_init());
  if (!state->curl) return fail(ErrorCode::kSystem, "libcurl can't be started");
  state->tls = std::move(tls);
  state->bounds = std::move(bounds);
  return HttpClient(std::move(state));
}

Result<HttpResponse> HttpClient::perform(const HttpRequest& request) {
  const std::string what = printable(request);
  if (request.authorization.kind != Authorization::Kind::kNone &&
      !request.url.starts_with("https:") && !is_loopback(host_of(request.url))) {
    return fail(ErrorCode::kPermissionDenied, "{}: credentials are not sent over plain HTTP", what);
  }
  if (state_->bounds.stop.stop_requested()) return fail(ErrorCode::kCanceled, "canceled");
  if (Clock::now() >= state_->bounds.deadline) {
    return fail(ErrorCode::kTimeout, "{}: not done within the time limit", what);
  }
  // Forgets the options of the last request, keeps its connection.
  curl_easy_reset(state_->curl.get());
  Transfer transfer{.request = &request, .bounds = &state_->bounds};
  std::array<char, CURL_ERROR_SIZE> error_buffer{};
  // curl would wait up to a second for "100 Continue" before larger bodies.
  std::unique_ptr<curl_slist, SlistDeleter> headers(curl_slist_append(nullptr, "Expect:"));
  for (const std::string& header : request.headers) {
    if (curl_slist_append(headers.get(), header.c_str()) == nullptr) {
      return fail(ErrorCode::kSystem, "{}: out of memory", what);
    }
  }
  state_->refused = CURLE_OK;
  state_->set(CURLOPT_URL, request.url.c_str());
  state_->set(CURLOPT_HTTPHEADER, headers.get());
  state_->set_limits(request);
  state_->set_tls();
  state_->set_authorization(request.authorization);
  state_->set_method(request);
  state_->set_callbacks(transfer, error_buffer.data());
  if (state_->refused != CURLE_OK) {
    return fail(ErrorCode::kSystem, "{}: set up libcurl: {}", what,
                curl_easy_strerror(state_->refused));
  }
  const CURLcode code = curl_easy_perform(state_->curl.get());
  state_->set(CURLOPT_ERRORBUFFER, static_cast<char*>(nullptr));
  if (transfer.failure) return std::unexpected(std::move(*transfer.failure).in(what));
  if (code == CURLE_OK || transfer.cut) return std::move(transfer.response);
  if (code == CURLE_ABORTED_BY_CALLBACK) return fail(ErrorCode::kCanceled, "canceled");
  return std::unexpected(transfer_error(code, error_buffer.data(), state_->bounds).in(what));
}

}  // namespace trivet::image
