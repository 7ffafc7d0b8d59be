#include "pod/extension_host/library.h"

#include <dlfcn.h>

namespace trivet::pod {

Result<const trivet_extension*> load_extension(const std::string& path) {
  constexpr const char* kEntry = "trivet_extension_v1";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return fail(ErrorCode::kNotFound, "{}", dlerror());
  void* symbol = dlsym(library, kEntry);
  if (symbol == nullptr) {
    return fail(ErrorCode::kUnsupported, "the library does not export {}()", kEntry);
  }
  const auto* extension = reinterpret_cast<decltype(&trivet_extension_v1)>(symbol)();
  const bool whole = extension != nullptr && extension->size >= sizeof(trivet_extension) &&
                     extension->name != nullptr && extension->on_start != nullptr &&
                     extension->on_event != nullptr && extension->destroy != nullptr;
  if (!whole) return fail(ErrorCode::kUnsupported, "{}() returns no extension", kEntry);
  return extension;
}

}  // namespace trivet::pod
