#include "image/reference.h"

#include <algorithm>

#include "oci/image_spec.h"

namespace trivet::image {

namespace {

constexpr size_t kMaxReference = 512;   // REQUIREMENTS C6
constexpr size_t kMaxRepository = 255;  // distribution-spec
constexpr size_t kMaxTag = 128;
constexpr size_t kHexDigits = 64;
constexpr std::string_view kDockerHub = "docker.io";
constexpr std::string_view kOfficial = "library/";

bool is_lower_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_alnum(char c) {
  return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f');
}

// alphanumerics with single ".", one or two "_" or any number of "-" between them.
bool is_path_component(std::string_view text) {
  if (text.empty() || !is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (is_lower_alnum(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && !is_lower_alnum(text[end])) ++end;
    const std::string_view separator = text.substr(i, end - i);
    const bool dashes = separator.find_first_not_of('-') == std::string_view::npos;
    if (separator != "." && separator != "_" && separator != "__" && !dashes) return false;
    i = end;
  }
  return true;
}

bool is_repository(std::string_view text) {
  if (text.size() > kMaxRepository) return false;
  for (;;) {
    const size_t slash = text.find('/');
    if (!is_path_component(text.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    text.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > kMaxTag || text.front() == '.' || text.front() == '-') {
    return false;
  }
  return std::ranges::all_of(
      text, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_host(std::string_view text) {
  if (text.starts_with('[')) {  // an IPv6 address
    return text.size() > 2 && text.ends_with(']') &&
           std::ranges::all_of(text.substr(1, text.size() - 2), [](char c) {
             return is_hex(c) || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
           });
  }
  while (!text.empty()) {
    const size_t dot = text.find('.');
    const std::string_view label = text.substr(0, dot);
    if (label.empty() || !is_alnum(label.front()) || !is_alnum(label.back())) return false;
    if (!std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-'; })) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
  return false;
}

bool is_registry(std::string_view text) {
  const size_t bracket = text.find(']');
  const size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return is_host(text);
  const std::string_view port = text.substr(colon + 1);
  return is_host(text.substr(0, colon)) && !port.empty() && port.size() <= 5 &&
         std::ranges::all_of(port, is_digit);
}

// Docker's rule: the first component is a registry when it can't be a part of a repository.
bool names_registry(std::string_view component) {
  return component == "localhost" || component.find_first_of(".:[") != std::string_view::npos ||
         std::ranges::any_of(component, [](char c) { return c >= 'A' && c <= 'Z'; });
}

std::unexpected<Error> invalid(std::string_view text, std::string_view why, std::string hint) {
  return std::unexpected(Error(ErrorCode::kInvalidArgument,
                               fmt::format("invalid image reference \"{}\": {}", text, why))
                             .hint(std::move(hint)));
}

constexpr const char* kForm =
    "write it as [REGISTRY/]NAME[:TAG][@sha256:DIGEST], such as \"busybox\" or "
    "\"localhost:5000/team/app:1.2\"";

bool has_upper_case(std::string_view text) {
  return std::ranges::any_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
}

// Takes "[REGISTRY/]NAME" apart.
Result<> parse_name(std::string_view text, std::string_view name, Reference& reference) {
  const size_t slash = name.find('/');
  reference.registry = kDockerHub;
  if (slash != std::string_view::npos && names_registry(name.substr(0, slash))) {
    reference.registry = name.substr(0, slash);
    name.remove_prefix(slash + 1);
    if (!is_registry(reference.registry)) {
      return invalid(text, fmt::format("\"{}\" is no registry host", reference.registry), kForm);
    }
    if (reference.registry == "index.docker.io") reference.registry = kDockerHub;
  }
  if (name.size() == kHexDigits && std::ranges::all_of(name, is_hex)) {
    return invalid(text, "a name of 64 hex digits would be taken for an image id", kForm);
  }
  reference.repository = name;
  if (reference.registry == kDockerHub && !name.empty() &&
      name.find('/') == std::string_view::npos) {
    reference.repository.insert(0, kOfficial);
  }
  if (is_repository(reference.repository)) return {};
  if (has_upper_case(name)) {
    return invalid(text, "the name has upper-case letters", "repository names are lower case");
  }
  return invalid(text, fmt::format("\"{}\" is no repository name", name), kForm);
}

}  // namespace

std::string Reference::canonical() const {
  std::string text = registry + "/" + repository;
  if (!tag.empty()) text += ":" + tag;
  if (!digest.empty()) text += "@" + digest;
  return text;
}

std::string Reference::familiar() const {
  std::string text = canonical();
  const std::string hub = std::string(kDockerHub) + "/";
  if (!text.starts_with(hub)) return text;
  text.erase(0, hub.size());
  // "library/a/b" is a path of its own below the official images: keep it.
  const bool official =
      text.starts_with(kOfficial) && repository.find('/', kOfficial.size()) == std::string::npos;
  if (official) text.erase(0, kOfficial.size());
  return text;
}

Result<Reference> parse_reference(std::string_view text) {
  if (text.size() > kMaxReference) {
    return invalid(fmt::format("{}…", text.substr(0, 32)),
                   fmt::format("longer than {} bytes", kMaxReference), kForm);
  }
  if (text.empty()) return invalid(text, "it is empty", kForm);
  Reference reference;
  std::string_view name = text;
  if (const size_t at = name.find('@'); at != std::string_view::npos) {
    reference.digest = name.substr(at + 1);
    name = name.substr(0, at);
    if (!oci::check_digest(reference.digest)) {
      return invalid(text, "the digest is not \"sha256:\" and 64 lower-case hex digits", kForm);
    }
  }
  const size_t slash = name.rfind('/');
  const size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  if (colon != std::string_view::npos) {
    reference.tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (!is_tag(reference.tag)) {
      return invalid(text, fmt::format("\"{}\" is no tag", reference.tag),
                     "a tag is at most 128 letters, digits, \"_\", \".\" and \"-\", and starts "
                     "with neither \".\" nor \"-\"");
    }
  }
  TRY(parse_name(text, name, reference));
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

}  // namespace trivet::image
