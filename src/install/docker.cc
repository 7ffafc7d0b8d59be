// Docker's daemon.json: an entry in "runtimes" for each handler.
#include "install/caller.h"
#include "install/json_edit.h"

namespace trivet::install {

namespace {

constexpr const char* kRuntimes = "runtimes";
constexpr const char* kDefault = "default-runtime";

// Whether an entry is one that trivet makes, perhaps for a program that was in another place.
bool is_ours(const OrderedJson& entry, const Handler& handler) {
  if (entry == OrderedJson{{"path", handler.path}}) return true;
  const auto path = entry.is_object() && entry.size() == 1 ? entry.find("path") : entry.end();
  if (path == entry.end() || !path->is_string()) return false;
  const std::string program = path->get<std::string>();
  return program.substr(program.rfind('/') + 1) == handler.path.substr(handler.path.rfind('/') + 1);
}

Result<> add_handler(JsonText& document, const File& file, const Handler& handler) {
  const JsonText::Path path{kRuntimes, handler.name};
  if (const OrderedJson* entry = document.find(path); entry != nullptr) {
    if (is_ours(*entry, handler)) return document.set(path, OrderedJson{{"path", handler.path}});
    return std::unexpected(Error(ErrorCode::kAlreadyExists,
                                 fmt::format("{}: there is a runtime \"{}\" already, which is {}",
                                             file.path, handler.name, entry->dump()))
                               .hint("take it out of the file, or give it another name"));
  }
  return document.set(path, OrderedJson{{"path", handler.path}});
}

// What it was before trivet became it.
Result<> restore_default(JsonText& document, const JsonText& before) {
  const OrderedJson* old = before.find({kDefault});
  return old == nullptr ? document.remove({kDefault}) : document.set({kDefault}, *old);
}

}  // namespace

Result<std::string> add_docker(const File& file, const Registration& registration) {
  JsonText document = TRY(JsonText::parse(file.text, file.path));
  for (const Handler& handler : registration.handlers) {
    TRY(add_handler(document, file, handler));
  }
  if (registration.as_default) TRY(document.set({kDefault}, registration.handlers.front().name));
  return document.text();
}

Result<std::string> remove_docker(const File& file, const Registration& registration,
                                  const std::string& before) {
  JsonText document = TRY(JsonText::parse(file.text, file.path));
  const JsonText original = TRY(JsonText::parse(before, file.path));
  for (const Handler& handler : registration.handlers) {
    const OrderedJson* entry = document.find({kRuntimes, handler.name});
    // One that somebody has changed is theirs now.
    if (entry != nullptr && is_ours(*entry, handler)) {
      TRY(document.remove({kRuntimes, handler.name}));
    }
  }
  const OrderedJson* runtimes = document.find({kRuntimes});
  if (runtimes != nullptr && runtimes->empty() && original.find({kRuntimes}) == nullptr) {
    TRY(document.remove({kRuntimes}));
  }
  const OrderedJson* chosen = document.find({kDefault});
  if (registration.as_default && chosen != nullptr &&
      *chosen == registration.handlers.front().name) {
    TRY(restore_default(document, original));
  }
  return document.text();
}

}  // namespace trivet::install
