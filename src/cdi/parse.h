// What the readers of the parts of a CDI specification share.
#pragma once

#include "cdi/spec.h"
#include "manifest/fields.h"

namespace trivet::cdi {

// The version a file says it has. Fields that came with a later one are refused: the runtimes of
// that version's days would ignore them in silence.
class Version {
 public:
  // `number` is one of known_versions().
  explicit Version(std::string number);
  [[nodiscard]] bool is_at_least(std::string_view number) const;
  // Reports `value` when it came with a later version.
  void require(std::string_view number, const manifest::Value& value, std::string_view what) const;

 private:
  std::string number_;
};

Edits read_edits(const manifest::Value& value, const Version& version);

}  // namespace trivet::cdi
