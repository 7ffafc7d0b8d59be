// What a person means by a name or an id.
#include <algorithm>

#include "image/store_layout.h"

namespace trivet::image {

namespace {

constexpr size_t kHexDigits = 64;
constexpr size_t kMinPrefix = 3;

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::unexpected<Error> no_such_image(const Names& names, std::string_view text) {
  std::vector<std::string> known;
  for (const auto& [name, digest] : names) {
    const auto reference = parse_reference(name);
    if (reference) known.push_back(reference->familiar());
  }
  const std::string near = nearest_name(text, known);
  std::string hint = near.empty() ? fmt::format(
                                        "\"trivet pull {}\" fetches it; \"trivet images\" lists "
                                        "what is here",
                                        text)
                                  : fmt::format("did you mean \"{}\"?", near);
  return std::unexpected(
      Error(ErrorCode::kNotFound, fmt::format("no such image: {}", text)).hint(std::move(hint)));
}

// NAME@DIGEST names what a tag of the same repository brought, too.
Names::const_iterator find_by_digest(const Names& names, const Reference& wanted) {
  return std::ranges::find_if(names, [&](const auto& entry) {
    if (entry.second != wanted.digest) return false;
    const auto reference = parse_reference(entry.first);
    return reference && reference->registry == wanted.registry &&
           reference->repository == wanted.repository;
  });
}

Names::const_iterator find_name(const Names& names, const Reference& reference) {
  if (const auto found = names.find(reference.canonical()); found != names.end()) return found;
  return reference.digest.empty() ? names.end() : find_by_digest(names, reference);
}

// The digest of a config or of a manifest by its first hex digits.
Result<Match> match_id(const StoreLayout& layout, std::string_view text, std::string_view prefix) {
  const std::string wanted = fmt::format("sha256:{}", prefix);
  Match match;
  std::string id;
  for (ImageRecord& record : TRY(list_records(layout))) {
    if (!record.id.starts_with(wanted) && !record.manifest_digest.starts_with(wanted)) continue;
    if (!id.empty() && id != record.id) {
      return std::unexpected(
          Error(ErrorCode::kInvalidArgument,
                fmt::format("image id \"{}\" is ambiguous: {} and {}", text, id, record.id))
              .hint("give more digits"));
    }
    id = record.id;
    match.records.push_back(std::move(record));
  }
  return match;
}

}  // namespace

Result<Match> match_records(const StoreLayout& layout, const Names& names,
                            std::string_view name_or_id) {
  std::string_view digits = name_or_id;
  const bool is_digest = digits.starts_with("sha256:");
  if (is_digest) digits.remove_prefix(std::string_view("sha256:").size());
  const bool is_id = digits.size() >= kMinPrefix && digits.size() <= kHexDigits && is_hex(digits);
  const bool only_id = is_id && (is_digest || digits.size() == kHexDigits);
  if (!only_id) {
    auto reference = parse_reference(name_or_id);
    if (!reference && !is_id) return std::unexpected(std::move(reference).error());
    const auto found = reference ? find_name(names, *reference) : names.end();
    if (found != names.end()) {
      auto record = TRY_IN(read_record(layout, found->second), "image \"{}\"", name_or_id);
      return Match{.records = {std::move(record)}, .name = found->first};
    }
  }
  if (!is_id) return no_such_image(names, name_or_id);
  Match match = TRY(match_id(layout, name_or_id, digits));
  if (match.records.empty()) return no_such_image(names, name_or_id);
  return match;
}

}  // namespace trivet::image
