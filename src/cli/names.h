// One action on each of several names: every failure is reported, the others go on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/session.h"

namespace trivet::cli {

// Prints each name that worked. 0, or 1 when something failed.
int for_each_name(Session& session, std::string_view verb, const std::vector<std::string>& names,
                  const std::function<Result<>(const std::string&)>& action);

// The names given, or with `all` those of every container (running ones only, or all of them).
enum class Which { kRunning, kAll };
Result<std::vector<std::string>> chosen_containers(Session& session, bool all, Which which,
                                                   const std::vector<std::string>& names);

// Asks on a terminal; yes without one, so that scripts need no answer.
bool confirm(const std::string& question);

// "Total reclaimed space: 12.3 MiB" after the removed names; with `format` json an object.
Result<int> print_pruned(Session& session, const PruneResult& result, const std::string& format);

}  // namespace trivet::cli
