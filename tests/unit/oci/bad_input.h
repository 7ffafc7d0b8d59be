// A table of inputs that must be refused, and how the error has to begin or what it must hold.
#pragma once

#include <string>
#include <string_view>

namespace trivet::oci {

struct BadInput {
  std::string_view name;
  std::string_view pointer;  // JSON pointer of what to change in a good document
  std::string_view value;    // JSON to put there; empty: remove it
  std::string_view error;    // part of the error text, starting with the path of the field
};

}  // namespace trivet::oci
