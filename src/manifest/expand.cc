#include "manifest/expand.h"

namespace trivet::manifest {

std::string expand(std::string_view text, const Lookup& lookup) {
  std::string result;
  while (!text.empty()) {
    if (text.front() != '$' || text.size() == 1) {
      const size_t end = text.size() == 1 ? 1 : std::min(text.find('$', 1), text.size());
      result += text.substr(0, end);
      text.remove_prefix(end);
    } else if (text[1] == '$') {
      result += '$';
      text.remove_prefix(2);
    } else if (const size_t end = text[1] == '(' ? text.find(')') : std::string_view::npos;
               end != std::string_view::npos) {
      const std::string name(text.substr(2, end - 2));
      result += lookup(name).value_or(std::string(text.substr(0, end + 1)));
      text.remove_prefix(end + 1);
    } else {
      result += '$';
      text.remove_prefix(1);
    }
  }
  return result;
}

}  // namespace trivet::manifest
