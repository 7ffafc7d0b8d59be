#include "install/toml_document.h"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
// Version 3.3 takes for granted that a table header begins with a key. "[=]" does not, and what
// follows the assertion reports it well; with NDEBUG the assertion is a promise to the compiler.
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <algorithm>
#include <toml++/toml.h>

namespace trivet::install {

struct TomlDocument::Tree {
  toml::table root;

  [[nodiscard]] const toml::node* find(const Path& path) const {
    const toml::node* node = &root;
    for (const std::string& key : path) {
      const toml::table* table = node->as_table();
      node = table == nullptr ? nullptr : table->get(key);
      if (node == nullptr) return nullptr;
    }
    return node;
  }
};

TomlDocument::TomlDocument(std::unique_ptr<Tree> tree) : tree_(std::move(tree)) {}
TomlDocument::TomlDocument(TomlDocument&&) noexcept = default;
TomlDocument& TomlDocument::operator=(TomlDocument&&) noexcept = default;
TomlDocument::~TomlDocument() = default;

namespace {

// With another character for all that is not ASCII: one that strings and comments may have, and
// nothing else.
std::string in_ascii(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::string ascii(text);
  const auto begin = ascii.begin() + (text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0);
  std::replace_if(begin, ascii.end(), [](unsigned char byte) { return byte >= 0x80; }, '!');
  return ascii;
}

}  // namespace

Result<TomlDocument> TomlDocument::parse(std::string_view text, const std::string& file) {
  // The parser's look at characters where a key or a value may begin is undefined for some that are
  // not ASCII, such as U+00E9: nothing there may be, so this finds them first.
  toml::parse_result parsed = toml::parse(in_ascii(text), file);
  if (parsed) parsed = toml::parse(text, file);
  if (!parsed) {
    const toml::source_position at = parsed.error().source().begin;
    return fail(ErrorCode::kCorrupt, "{}:{}:{}: not valid TOML: {}", file, at.line, at.column,
                parsed.error().description());
  }
  return TomlDocument(std::make_unique<Tree>(Tree{.root = std::move(parsed).table()}));
}

bool TomlDocument::has(const Path& path) const {
  return tree_->find(path) != nullptr;
}

std::optional<std::string> TomlDocument::text_at(const Path& path) const {
  const toml::node* node = tree_->find(path);
  return node == nullptr ? std::nullopt : node->value_exact<std::string>();
}

std::optional<int64_t> TomlDocument::number_at(const Path& path) const {
  const toml::node* node = tree_->find(path);
  return node == nullptr ? std::nullopt : node->value_exact<int64_t>();
}

bool TomlDocument::is_true(const Path& path) const {
  const toml::node* node = tree_->find(path);
  return node != nullptr && node->value_exact<bool>().value_or(false);
}

std::vector<std::string> TomlDocument::texts_at(const Path& path) const {
  const toml::node* node = tree_->find(path);
  const toml::array* list = node == nullptr ? nullptr : node->as_array();
  std::vector<std::string> texts;
  if (list == nullptr) return texts;
  for (const toml::node& entry : *list) {
    if (auto text = entry.value_exact<std::string>()) texts.push_back(std::move(*text));
  }
  return texts;
}

size_t TomlDocument::line_of(const Path& path) const {
  const toml::node* node = tree_->find(path);
  return node == nullptr ? 0 : node->source().begin.line;
}

bool TomlDocument::is_inline_table(const Path& path) const {
  const toml::node* node = tree_->find(path);
  return node != nullptr && node->is_table() && node->as_table()->is_inline();
}

std::string toml_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char byte : text) {
    if (byte == '"' || byte == '\\') {
      quoted += '\\';
      quoted += byte;
    } else if (static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
    } else {
      quoted += byte;
    }
  }
  return quoted + '"';
}

std::string toml_list(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) {
    if (!list.empty()) list += ", ";
    list += toml_string(text);
  }
  return '[' + list + ']';
}

}  // namespace trivet::install
