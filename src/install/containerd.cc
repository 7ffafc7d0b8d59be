// containerd's config.toml: a runtime of the CRI plugin for each handler.
//
// A block at the end of the file, and not a file to import: until containerd 2 what an imported
// file says about a plugin takes the place of all that the main one says about it.
#include "base/text.h"
#include "install/caller.h"
#include "install/text_block.h"
#include "install/toml_document.h"

namespace trivet::install {

namespace {

using Path = TomlDocument::Path;

constexpr const char* kDefaultName = "default_runtime_name";

struct Layout {
  std::string plugin;
  // A file that says nothing would be of version 1.
  bool needs_version = false;
};

bool says_nothing(const std::string& text) {
  for (const std::string& line : split(text, '\n')) {
    const std::string_view words = trim(line);
    if (!words.empty() && !words.starts_with('#')) return false;
  }
  return true;
}

// Which plugin has the runtimes: that depends on the file's version.
Result<Layout> layout_of(const TomlDocument& document, const File& file) {
  if (says_nothing(file.text)) return Layout{"io.containerd.grpc.v1.cri", true};
  const int64_t version = document.number_at({"version"}).value_or(1);
  if (version == 1) return Layout{"cri"};
  if (version == 2) return Layout{"io.containerd.grpc.v1.cri"};
  if (version == 3 || version == 4) return Layout{"io.containerd.cri.v1.runtime"};
  return fail(ErrorCode::kUnsupported, "{}: version {} of containerd's configuration is not known",
              file.path, version);
}

std::string header(const Layout& layout, std::string_view below) {
  const bool bare = layout.plugin.find('.') == std::string::npos;
  return fmt::format("[plugins.{}.containerd{}]\n",
                     bare ? layout.plugin : toml_string(layout.plugin), below);
}

Path below(const Layout& layout, const Path& more) {
  Path path{"plugins", layout.plugin, "containerd"};
  path.insert(path.end(), more.begin(), more.end());
  return path;
}

// Pods' annotations that reach trivet-oci.
const std::vector<std::string>& annotations() {
  static const std::vector<std::string> kNames{"dev.trivet.*", "run.oci.handler", "krun.*",
                                               "module.wasm.image/variant"};
  return kNames;
}

std::string handler_lines(const Layout& layout, const Handler& handler, bool systemd) {
  std::string lines = header(layout, ".runtimes." + handler.name);
  lines += "  runtime_type = \"io.containerd.runc.v2\"\n";
  lines += fmt::format("  pod_annotations = {}\n", toml_list(annotations()));
  lines += "  " + header(layout, fmt::format(".runtimes.{}.options", handler.name));
  lines += fmt::format("    BinaryName = {}\n", toml_string(handler.path));
  // As the node's other pods have it: kubelet and containerd have to agree on who makes cgroups.
  if (systemd) lines += "    SystemdCgroup = true\n";
  return lines;
}

// What containerd has without a configuration, and drops as soon as one names any runtime.
std::string own_runtime_lines(const Layout& layout) {
  return "# containerd's own, which it has by itself only where no runtime is named.\n" +
         header(layout, ".runtimes.runc") + "  runtime_type = \"io.containerd.runc.v2\"\n";
}

// `text` with line number `line` replaced, or taken out where there is no `replacement`.
std::string with_line(const std::string& text, size_t line,
                      const std::optional<std::string>& replacement) {
  std::string result;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size() - 1) + 1;
    if (++number != line) {
      result += text.substr(at, end - at);
    } else if (replacement) {
      result += *replacement + '\n';
    }
    at = end;
  }
  return result;
}

std::string line_at(const std::string& text, size_t line) {
  const std::vector<std::string> lines = split(text, '\n');
  return line == 0 || line > lines.size() ? std::string() : lines[line - 1];
}

std::string_view indent_of(std::string_view line) {
  return line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
}

std::string default_line(std::string_view indent, const std::string& name) {
  return fmt::format("{}{} = {}  # by trivet", indent, kDefaultName, toml_string(name));
}

// Makes it the default where the table is written already; else `lines` gets a table for it.
Result<std::string> with_default(const File& file, const TomlDocument& document,
                                 const Layout& layout, const std::string& name,
                                 std::string& lines) {
  const size_t key = document.line_of(below(layout, {kDefaultName}));
  const size_t table = document.line_of(below(layout, {}));
  if (document.is_inline_table(below(layout, {})) ||
      (key != 0 && !trim(line_at(file.text, key)).starts_with(kDefaultName))) {
    return std::unexpected(Error(ErrorCode::kUnsupported,
                                 fmt::format("{}:{}: the default runtime is written in a way that "
                                             "trivet does not change",
                                             file.path, key != 0 ? key : table))
                               .hint("set default_runtime_name by hand, and leave out --default"));
  }
  if (key != 0) {
    const std::string old = line_at(file.text, key);
    return with_line(file.text, key, default_line(indent_of(old), name));
  }
  const std::string title = line_at(file.text, table);
  // A table that is there because of those in it has their line.
  if (table != 0 && trim(title).starts_with(trim(header(layout, "")))) {
    return with_line(file.text, table,
                     title + '\n' + default_line(fmt::format("{}  ", indent_of(title)), name));
  }
  lines = header(layout, "") + default_line("  ", name) + '\n' + lines;
  return file.text;
}

Result<> check_names(const TomlDocument& document, const Layout& layout, const File& file,
                     const Registration& registration) {
  for (const Handler& handler : registration.handlers) {
    const Path path = below(layout, {"runtimes", handler.name});
    if (!document.has(path)) continue;
    return std::unexpected(Error(ErrorCode::kAlreadyExists,
                                 fmt::format("{}:{}: there is a runtime \"{}\" already", file.path,
                                             document.line_of(path), handler.name))
                               .hint("take it out of the file, or give it another name"));
  }
  return {};
}

// The proof that the text says what it was meant to.
Result<> check_result(const File& file, const std::string& text, const Layout& layout,
                      const Registration& registration) {
  const TomlDocument document = TRY(TomlDocument::parse(text, file.path));
  for (const Handler& handler : registration.handlers) {
    const auto path = below(layout, {"runtimes", handler.name, "options", "BinaryName"});
    if (document.text_at(path) != handler.path) {
      return fail(ErrorCode::kSystem, "{}: \"{}\" would not be read back", file.path, handler.name);
    }
  }
  return {};
}

}  // namespace

Result<std::string> add_containerd(const File& file, const Registration& registration) {
  File clean {
    file.path, TRY(without_block(file.text, file.path))
  };
  const TomlDocument document = TRY(TomlDocument::parse(clean.text, file.path));
  const Layout layout = TRY(layout_of(document, clean));
  TRY(check_names(document, layout, clean, registration));
  const bool systemd =
      document.is_true(below(layout, {"runtimes", "runc", "options", "SystemdCgroup"}));
  std::string lines;
  if (!document.has(below(layout, {"runtimes"}))) lines += own_runtime_lines(layout);
  for (const Handler& handler : registration.handlers) {
    lines += handler_lines(layout, handler, systemd);
  }
  if (registration.as_default) {
    clean.text =
        TRY(with_default(clean, document, layout, registration.handlers.front().name, lines));
  }
  // Outside of the block: what somebody adds to the file later needs it, too.
  if (layout.needs_version) clean.text += "version = 2\n";
  std::string text = TRY(with_block(clean.text, "containerd", lines, file.path));
  TRY(check_result(file, text, layout, registration));
  return text;
}

Result<std::string> remove_containerd(const File& file, const Registration& registration,
                                      const std::string& before) {
  std::string text = TRY(without_block(file.text, file.path));
  const TomlDocument document = TRY(TomlDocument::parse(text, file.path));
  const Layout layout = TRY(layout_of(document, {file.path, text}));
  const Path key = below(layout, {kDefaultName});
  if (registration.as_default && document.text_at(key) == registration.handlers.front().name) {
    const TomlDocument original = TRY(TomlDocument::parse(before, file.path));
    const size_t old = original.line_of(key);
    text = with_line(text, document.line_of(key),
                     old == 0 ? std::nullopt : std::optional(line_at(before, old)));
  }
  TRY(TomlDocument::parse(text, file.path));
  return text;
}

}  // namespace trivet::install
