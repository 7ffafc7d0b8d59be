// CRI-O's configuration: a drop-in of trivet's own.
#include "install/caller.h"
#include "install/text_block.h"
#include "install/toml_document.h"

namespace trivet::install {

Result<std::string> add_crio(const File& file, const Registration& registration) {
  std::string lines;
  if (registration.as_default) {
    lines += fmt::format("[crio.runtime]\ndefault_runtime = {}\n\n",
                         toml_string(registration.handlers.front().name));
  }
  for (const Handler& handler : registration.handlers) {
    lines += fmt::format("[crio.runtime.runtimes.{}]\n", handler.name);
    lines += fmt::format("runtime_path = {}\n", toml_string(handler.path));
    lines += "runtime_type = \"oci\"\n";
    lines += "runtime_root = \"/run/trivet/crio\"\n";
    // Of pods' annotations CRI-O holds back those that it knows of, crun's among them; trivet's own
    // reach the runtime without being named.
    lines += "allowed_annotations = [\"run.oci.\", \"module.wasm.image/variant\"]\n";
  }
  std::string text = TRY(with_block(file.text, "cri-o", lines, file.path));
  TRY(TomlDocument::parse(text, file.path));
  return text;
}

}  // namespace trivet::install
