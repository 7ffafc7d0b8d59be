#include "monitor/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

namespace trivet::monitor {

namespace {

// Called for the program itself first; its non-zero return ends the walk.
int drop_constant_pages(dl_phdr_info* info, size_t /*size*/, void* /*data*/) {
  const auto page = static_cast<ElfW(Addr)>(sysconf(_SC_PAGESIZE));
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const ElfW(Addr) begin = (info->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    const ElfW(Addr) end = info->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): program headers have numbers
    (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 1;
}

}  // namespace

void give_memory_back() {
  (void)malloc_trim(0);
  (void)dl_iterate_phdr(drop_constant_pages, nullptr);
}

}  // namespace trivet::monitor
