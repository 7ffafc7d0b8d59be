// All that is wrong with configuration, collected so that one run finds it.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace trivet::config {

struct Spot {
  std::string file;
  int line = 0;  // from 1; 0: the file as a whole
  int column = 0;
  std::string key;
};

class Findings {
 public:
  void wrong(const Spot& spot, const std::string& text, std::string hint = {});
  // An error of a part, which has its own code and hint.
  void add(Error error);

  [[nodiscard]] bool none() const { return errors_.empty(); }
  // The first, with the others as its notes.
  [[nodiscard]] Error error() const;
  Result<> result() const;

 private:
  std::vector<Error> errors_;
};

}  // namespace trivet::config
