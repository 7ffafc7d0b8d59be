// Podman's and Buildah's containers.conf: a drop-in of trivet's own, read after the other files.
#include <algorithm>
#include <array>

#include "base/fs.h"
#include "install/caller.h"
#include "install/text_block.h"
#include "install/toml_document.h"

namespace trivet::install {

namespace {

using Texts = std::vector<std::string>;

// The keys as podman's decoder has them, and podman's own values.
struct List {
  const char* key;
  Texts PodmanLists::* texts;
  std::vector<const char*> initial;
};
const std::array<List, 3>& lists_known() {
  static const std::array<List, 3> kLists{{
      {"runtime_supports_json",
       &PodmanLists::json,
       {"crun", "runc", "kata", "runsc", "youki", "krun"}},
      {"runtime_supports_kvm", &PodmanLists::kvm, {"kata", "krun"}},
      {"runtime_supports_nocgroup", &PodmanLists::no_cgroups, {"crun", "krun"}},
  }};
  return kLists;
}

Texts with(Texts texts, const Texts& more) {
  for (const std::string& text : more) {
    if (std::ranges::find(texts, text) == texts.end()) texts.push_back(text);
  }
  return texts;
}

Texts names_of(const Registration& registration) {
  Texts names;
  for (const Handler& handler : registration.handlers) names.push_back(handler.name);
  return names;
}

const Handler* find_handler(const Registration& registration, std::string_view name) {
  const auto found = std::ranges::find(registration.handlers, name, &Handler::name);
  return found == registration.handlers.end() ? nullptr : &*found;
}

// The names by which people ask for crun's microVMs and WebAssembly. crun's programs come first
// where they are installed.
std::string alias_lines(const Registration& registration) {
  struct Alias {
    const char* name;
    const char* handler;
  };
  std::string lines;
  for (const Alias& alias : {Alias{"krun", "trivet-microvm"}, Alias{"crun-wasm", "trivet-wasm"}}) {
    const Handler* handler = find_handler(registration, alias.handler);
    if (handler == nullptr) continue;
    lines += fmt::format("{} = {}\n", alias.name,
                         toml_list({fmt::format("/usr/bin/{}", alias.name),
                                    fmt::format("/usr/local/bin/{}", alias.name), handler->path}));
  }
  return lines;
}

// Podman's order: later files say the last word.
Texts files_before(const std::string& drop_in, bool for_user) {
  Texts files{"/usr/share/containers/containers.conf", "/etc/containers/containers.conf"};
  const std::string folder = drop_in.substr(0, drop_in.rfind('/'));
  if (for_user) {
    if (const auto names = list_dir(AT_FDCWD, "/etc/containers/containers.conf.d")) {
      for (const std::string& name : *names) {
        files.push_back("/etc/containers/containers.conf.d/" + name);
      }
    }
    files.push_back(folder.substr(0, folder.rfind('/')) + "/containers.conf");
  }
  if (const auto names = list_dir(AT_FDCWD, folder)) {
    for (const std::string& name : *names) {
      if (name.ends_with(".conf") && folder + "/" + name != drop_in) {
        files.push_back(folder + "/" + name);
      }
    }
  }
  return files;
}

}  // namespace

Result<PodmanLists> read_podman_lists(const std::string& drop_in, bool for_user) {
  PodmanLists lists;
  for (const List& list : lists_known()) {
    lists.*list.texts = Texts(list.initial.begin(), list.initial.end());
  }
  for (const std::string& path : files_before(drop_in, for_user)) {
    const auto text = read_file(path, 1U << 20U);
    if (!text && text.error().errnum() == ENOENT) continue;
    if (!text) return std::unexpected(text.error());
    const TomlDocument document = TRY(TomlDocument::parse(*text, path));
    for (const List& list : lists_known()) {
      const TomlDocument::Path key{"engine", list.key};
      if (document.has(key)) lists.*list.texts = document.texts_at(key);
    }
  }
  return lists;
}

Result<std::string> add_podman(const File& file, const Registration& registration,
                               const PodmanLists& lists) {
  const Texts names = names_of(registration);
  const Texts microvms =
      find_handler(registration, "trivet-microvm") == nullptr ? Texts{} : Texts{"trivet-microvm"};
  std::string lines = "[engine]\n";
  if (registration.as_default) lines += fmt::format("runtime = {}\n", toml_string(names.front()));
  lines +=
      "# A list takes the place of another file's: the names without trivet were there before.\n";
  lines += fmt::format("runtime_supports_json = {}\n", toml_list(with(lists.json, names)));
  lines += fmt::format("runtime_supports_kvm = {}\n", toml_list(with(lists.kvm, microvms)));
  lines +=
      fmt::format("runtime_supports_nocgroup = {}\n", toml_list(with(lists.no_cgroups, names)));
  lines += "\n[engine.runtimes]\n";
  for (const Handler& handler : registration.handlers) {
    // Less isolation than was asked for is no way out: only the plain one has others behind it.
    const bool first = handler == registration.handlers.front();
    lines += fmt::format(
        "{} = {}\n", handler.name,
        toml_list(first ? with({handler.path}, registration.fallbacks) : Texts{handler.path}));
  }
  lines += alias_lines(registration);
  std::string text = TRY(with_block(file.text, "podman", lines, file.path));
  TRY(TomlDocument::parse(text, file.path));
  return text;
}

Result<std::string> remove_drop_in(const File& file) {
  std::string text = TRY(without_block(file.text, file.path));
  TRY(TomlDocument::parse(text, file.path));
  return text;
}

}  // namespace trivet::install
