#include <algorithm>

#include "backend/absent.h"
#include "image/reference.h"
#include "trivet/runtime.h"

namespace trivet {

using backend::is_absent;
using backend::member_of;
using backend::unless_absent;

namespace {

constexpr const char* kNone = "<none>";

// The name by which an image is spoken of: the one that it was asked for by, else its first.
Result<image::Reference> own_name(const ImageInfo& info, const std::string& ref) {
  const auto asked = image::parse_reference(ref);
  const bool is_name =
      asked && std::ranges::find(info.names, asked->canonical()) != info.names.end();
  return is_name ? asked : image::parse_reference(info.names.front());
}

}  // namespace

Result<std::optional<ImageInfo>> Image::info() const {
  return unless_absent(backend_->find_image(ref_));
}

Result<bool> Image::exists() const {
  return TRY(info())
  .has_value();
}

Result<std::optional<std::string>> Image::id() const {
  return member_of(info(), &ImageInfo::id);
}

Result<std::optional<std::string>> Image::repository() const {
  const auto found = TRY(info());
  if (!found) return std::nullopt;
  if (found->names.empty()) return kNone;
  const image::Reference name = TRY(own_name(*found, ref_));
  return fmt::format("{}/{}", name.registry, name.repository);
}

Result<std::optional<std::string>> Image::tag() const {
  const auto found = TRY(info());
  if (!found) return std::nullopt;
  if (found->names.empty()) return kNone;
  const image::Reference name = TRY(own_name(*found, ref_));
  return name.tag.empty() ? kNone : name.tag;
}

Result<std::optional<uint64_t>> Image::size() const {
  return member_of(info(), &ImageInfo::size);
}

Result<std::optional<std::chrono::system_clock::time_point>> Image::created() const {
  return member_of(info(), &ImageInfo::created);
}

Result<std::map<std::string, std::string>> Image::labels() const {
  return TRY(member_of(info(), &ImageInfo::labels))
  .value_or(std::map<std::string, std::string>{});
}

Result<std::vector<ImageHistoryEntry>> Image::history() const {
  return TRY(unless_absent(backend_->image_history(ref_)))
  .value_or(std::vector<ImageHistoryEntry>{});
}

Result<bool> Image::remove(Force force) const {
  auto removed = backend_->remove_image(ref_, force);
  if (removed) return true;
  if (is_absent(removed.error())) return false;
  return std::unexpected(std::move(removed.error()));
}

}  // namespace trivet
