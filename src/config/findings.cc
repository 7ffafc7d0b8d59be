#include "config/findings.h"

namespace trivet::config {

namespace {

constexpr size_t kMostNotes = 20;

std::string spot_text(const Spot& spot) {
  std::string text = spot.file;
  if (spot.line > 0) text += fmt::format(":{}:{}", spot.line, spot.column);
  return spot.key.empty() ? text : fmt::format("{}: {}", text, spot.key);
}

// Only the error itself has a hint of its own.
Error with_hint_inside(const Error& error) {
  if (error.hint_text().empty()) return error;
  return {error.code(), fmt::format("{} ({})", error.message(), error.hint_text())};
}

}  // namespace

void Findings::wrong(const Spot& spot, const std::string& text, std::string hint) {
  Error error(ErrorCode::kInvalidArgument, fmt::format("{}: {}", spot_text(spot), text));
  if (!hint.empty()) error = std::move(error).hint(std::move(hint));
  errors_.push_back(std::move(error));
}

void Findings::add(Error error) {
  errors_.push_back(std::move(error));
}

Error Findings::error() const {
  Error first = errors_.front();
  for (size_t i = 1; i < errors_.size() && i <= kMostNotes; ++i) {
    first = std::move(first).note(with_hint_inside(errors_[i]));
  }
  if (errors_.size() > kMostNotes + 1) {
    first = std::move(first).note(
        Error(ErrorCode::kInvalidArgument,
              fmt::format("{} more are wrong", errors_.size() - kMostNotes - 1)));
  }
  return first;
}

Result<> Findings::result() const {
  if (none()) return {};
  return std::unexpected(error());
}

}  // namespace trivet::config
