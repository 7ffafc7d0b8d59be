// libarchive converts names between the archive's character set and the thread's locale. Names are
// bytes to us: under this locale UTF-8 stays as it is, and nothing is said about what is not UTF-8.
#pragma once

#include <locale.h>

namespace trivet::image {

// The locale itself. Move-less: it is a member of what calls libarchive.
class ArchiveLocale {
 public:
  ArchiveLocale() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {}
  ~ArchiveLocale() {
    if (locale_ != nullptr) freelocale(locale_);
  }
  ArchiveLocale(const ArchiveLocale&) = delete;
  ArchiveLocale& operator=(const ArchiveLocale&) = delete;

  // The calling thread has it while the object lives.
  class Scope {
   public:
    explicit Scope(const ArchiveLocale& locale) : previous_(uselocale(locale.locale_)) {}
    ~Scope() { uselocale(previous_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    locale_t previous_;
  };

 private:
  locale_t locale_;  // null, which changes nothing, if the C library lacks it
};

}  // namespace trivet::image
