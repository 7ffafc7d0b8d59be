// Reading TOML: what a configuration says, and on which line. Nothing is printed from it; changes
// are made in the text.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace trivet::install {

class TomlDocument {
 public:
  // The keys that lead to a value: {"plugins", "io.containerd.grpc.v1.cri", "containerd"}.
  using Path = std::vector<std::string>;

  // kCorrupt with "FILE:LINE:COLUMN: …".
  static Result<TomlDocument> parse(std::string_view text, const std::string& file);
  TomlDocument(TomlDocument&&) noexcept;
  TomlDocument& operator=(TomlDocument&&) noexcept;
  TomlDocument(const TomlDocument&) = delete;
  TomlDocument& operator=(const TomlDocument&) = delete;
  ~TomlDocument();

  [[nodiscard]] bool has(const Path& path) const;
  // Nothing when it is absent or something else.
  [[nodiscard]] std::optional<std::string> text_at(const Path& path) const;
  [[nodiscard]] std::optional<int64_t> number_at(const Path& path) const;
  [[nodiscard]] bool is_true(const Path& path) const;
  // The texts of a list; empty when it is absent or something else.
  [[nodiscard]] std::vector<std::string> texts_at(const Path& path) const;
  // From 1; of a value the line it is on, of a table that of its header. 0: absent, or a table that
  // is there only because of others in it.
  [[nodiscard]] size_t line_of(const Path& path) const;
  // A table written as {…}, into which no line can be put.
  [[nodiscard]] bool is_inline_table(const Path& path) const;

 private:
  struct Tree;
  explicit TomlDocument(std::unique_ptr<Tree> tree);
  std::unique_ptr<Tree> tree_;
};

// "\"/usr/bin/x\"": a string as TOML writes it.
[[nodiscard]] std::string toml_string(std::string_view text);
// `["a", "b"]`.
[[nodiscard]] std::string toml_list(const std::vector<std::string>& texts);

}  // namespace trivet::install
