// Loads libcurl, libarchive and OpenSSL when they are first called. They bring forty libraries,
// whose loading takes longer than anything else in `trivet run` or `trivet ps`, which need none of
// them. The stubs that call this are made by cmake/lazy_stubs.py.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

extern "C" {
extern const char* const trivet_lazy_names[];
extern const char* const trivet_lazy_sonames[];
extern const int32_t trivet_lazy_library_of[];
extern void* trivet_lazy_slots[];

void* trivet_lazy_resolve(size_t index);

// Safe from several threads: they find the same address. There is no way to return an error in
// place of a function of C, so that a missing library ends the program, as it would have at the
// start.
void* trivet_lazy_resolve(size_t index) {
  const char* const library = trivet_lazy_sonames[trivet_lazy_library_of[index]];
  void* const handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);
  void* const function = handle == nullptr ? nullptr : dlsym(handle, trivet_lazy_names[index]);
  if (function == nullptr) {
    std::fprintf(stderr, "trivet: cannot load %s: %s\n", library, dlerror());
    std::_Exit(125);
  }
  std::atomic_ref(trivet_lazy_slots[index]).store(function, std::memory_order_release);
  return function;
}
}
