// The containers that a command is about: the one that is named or, with --regex, all that match.
#pragma once

#include <functional>
#include <string>

#include "oci_cli/commands.h"

namespace trivet::oci_cli {

// Calls `act` with the id that is the first operand. With --regex that is an extended regular
// expression (regex(7)), as crun has it, and `act` is called with every id of which it matches a
// part: what fails is a warning each, the others have their turn, and in the end it is an error. A
// container that is gone by then is fine.
Result<> act_on_selected(const Globals& globals, const Arguments& arguments,
                         const std::function<Result<>(const std::string& id)>& act);

}  // namespace trivet::oci_cli
