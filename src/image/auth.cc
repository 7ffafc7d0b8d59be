#include "image/auth.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include <openssl/evp.h>

#include "base/json.h"
#include "base/text.h"

namespace trivet::image {

namespace {

// RFC 9110 section 5.6.2.
bool is_token_char(char c) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || kOthers.find(c) != kOthers.npos;
}

// Reads a WWW-Authenticate header from left to right.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  [[nodiscard]] bool done() const { return text_.empty(); }
  void skip(std::string_view characters) {
    text_.remove_prefix(std::min(text_.find_first_not_of(characters), text_.size()));
  }
  std::string token() {
    const auto end = std::ranges::find_if_not(text_, is_token_char);
    return take(static_cast<size_t>(end - text_.begin()));
  }
  bool accept(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }
  // After the opening quote, to the closing one.
  std::string quoted() {
    std::string result;
    while (!text_.empty() && !accept('"')) {
      if (accept('\\') && text_.empty()) break;
      result += text_.front();
      text_.remove_prefix(1);
    }
    return result;
  }
  void drop() { take(1); }

 private:
  std::string take(size_t count) {
    std::string result(text_.substr(0, count));
    text_.remove_prefix(std::min(count, text_.size()));
    return result;
  }
  std::string_view text_;
};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// A control character in a token would let the token server write headers of its own.
bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c > 0x20 && c < 0x7f; });
}

Result<Authorization> parse_token(const HttpResponse& response) {
  const Json document = TRY(parse_json(response.body, "the answer of the token server"));
  const JsonView view(document, "token");
  std::string token;
  TRY(view.read("access_token", token));
  TRY(view.read("token", token));
  if (token.empty() || !is_printable(token)) {
    return fail(ErrorCode::kCorrupt, "the token server's answer holds no usable token");
  }
  return Authorization{.kind = Authorization::Kind::kBearer, .secret = std::move(token)};
}

HttpRequest token_request(const std::string& realm, const std::string& service,
                          const std::string& scope, const Credentials& credentials) {
  HttpRequest request;
  std::string query = "service=" + percent_encode(service);
  // A scope may list several, separated by spaces.
  for (const std::string& one : split(scope, ' ')) {
    if (!one.empty()) query += "&scope=" + percent_encode(one);
  }
  if (!credentials.identity_token.empty()) {
    request.method = "POST";
    request.url = realm;
    request.body = fmt::format(
        "grant_type=refresh_token&service={}&client_id=trivet&scope={}&refresh_token={}",
        percent_encode(service), percent_encode(scope), percent_encode(credentials.identity_token));
    request.headers = {"Content-Type: application/x-www-form-urlencoded"};
    return request;
  }
  request.url = realm + (realm.find('?') == realm.npos ? "?" : "&") + query;
  if (!credentials.user.empty()) {
    request.url += "&account=" + percent_encode(credentials.user);
    request.authorization = {.kind = Authorization::Kind::kBasic,
                             .user = credentials.user,
                             .secret = credentials.password};
  }
  return request;
}

}  // namespace

Result<Credentials> parse_credentials(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == text.npos || colon == 0) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, "credentials are not of the form USER:PASSWORD"));
  }
  return Credentials{.user = std::string(text.substr(0, colon)),
                     .password = std::string(text.substr(colon + 1))};
}

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> result;
  HeaderReader reader(header);
  for (reader.skip(" \t,"); !reader.done(); reader.skip(" \t,")) {
    const std::string name = lower(reader.token());
    if (name.empty()) {
      reader.drop();
      continue;
    }
    reader.skip(" \t");
    // A word without "=" is a scheme; with it, a parameter of the last scheme.
    if (!reader.accept('=')) {
      result.push_back({.scheme = name, .parameters = {}});
      continue;
    }
    reader.skip(" \t");
    std::string value = reader.accept('"') ? reader.quoted() : reader.token();
    if (!result.empty()) result.back().parameters.insert_or_assign(name, std::move(value));
  }
  return result;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string result(text.size() / 4 * 3, '\0');
  // EVP_DecodeBlock leaves out neither padding nor its zero bytes.
  const std::string input(text);
  const int count = EVP_DecodeBlock(
      reinterpret_cast<unsigned char*>(result.data()),       // NOLINT: OpenSSL's byte type
      reinterpret_cast<const unsigned char*>(input.data()),  // NOLINT
      static_cast<int>(input.size()));
  if (count < 0) return std::nullopt;
  const size_t padding = text.size() - (text.find_last_not_of('=') + 1);
  if (padding > 2) return std::nullopt;
  result.resize(static_cast<size_t>(count) - padding);
  return result;
}

Result<Authorization> fetch_token(HttpClient& client, const Challenge& challenge,
                                  const std::string& scope, const Credentials& credentials) {
  const auto parameter = [&](const std::string& name) {
    const auto found = challenge.parameters.find(name);
    return found == challenge.parameters.end() ? std::string() : found->second;
  };
  const std::string realm = parameter("realm");
  if (origin_of(realm).empty()) {
    return fail(ErrorCode::kCorrupt, "the registry's token realm \"{}\" is no URL", realm);
  }
  // The POST body holds the refresh token: the rule for headers must hold for it as well.
  if (!credentials.identity_token.empty() && realm.starts_with("http:") &&
      !is_loopback(realm.substr(std::string_view("http://").size()))) {
    return fail(ErrorCode::kPermissionDenied, "{}: credentials are not sent over plain HTTP",
                realm);
  }
  const std::string wanted = parameter("scope").empty() ? scope : parameter("scope");
  const HttpRequest request = token_request(realm, parameter("service"), wanted, credentials);
  const HttpResponse response = TRY_IN(client.perform(request), "get a token");
  if (response.ok()) return TRY(parse_token(response));
  const bool refused = response.status >= 400 && response.status < 500 && response.status != 429 &&
                       response.status != 408;
  return fail(refused ? ErrorCode::kUnauthorized : ErrorCode::kNetwork,
              "the token server {} answered {}", origin_of(realm), response.status);
}

}  // namespace trivet::image
