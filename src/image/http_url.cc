#include "image/http_url.h"

#include <arpa/inet.h>
#include <memory>

#include <curl/curl.h>

#include "image/http.h"

namespace trivet::image {

namespace {

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, UrlDeleter>;

// Null when `url` is none.
UrlHandle parse_url(const std::string& url) {
  UrlHandle handle(curl_url());
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  return handle;
}

std::string part(const UrlHandle& url, CURLUPart which, unsigned flags = 0) {
  char* text = nullptr;
  if (!url || curl_url_get(url.get(), which, &text, flags) != CURLUE_OK) return {};
  std::string result(text);
  curl_free(text);
  return result;
}

}  // namespace

std::string host_of(const std::string& url) {
  return part(parse_url(url), CURLUPART_HOST);
}

std::string origin_of(const std::string& url) {
  const UrlHandle handle = parse_url(url);
  const std::string scheme = part(handle, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return {};
  return fmt::format("{}://{}:{}", scheme, part(handle, CURLUPART_HOST),
                     part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

Result<std::string> resolve_url(const std::string& base, const std::string& reference) {
  UrlHandle handle = parse_url(base);
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, reference.c_str(), 0) != CURLUE_OK) {
    return fail(ErrorCode::kCorrupt, "\"{}\" is no URL", reference);
  }
  return part(handle, CURLUPART_URL);
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kUnreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string result;
  for (const char c : text) {
    if (kUnreserved.find(c) != kUnreserved.npos) {
      result += c;
    } else {
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return result;
}

bool is_loopback(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1) == "[::1]";
  if (host == "::1") return true;
  const std::string name(host.substr(0, host.find(':')));
  in_addr address{};
  if (inet_pton(AF_INET, name.c_str(), &address) == 1) return ntohl(address.s_addr) >> 24U == 127;
  return name == "localhost";
}

}  // namespace trivet::image
