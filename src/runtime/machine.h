// What is asked of a microVM's guest instead of the host's kernel: numbers, processes, files.
#pragma once

#include "runtime/observe.h"

namespace trivet::runtime {

// The guest's numbers, into a container's: see container_stats().
Result<> read_machine_stats(const Observed& observed, ContainerStats& stats);

// As container_top() without ps options; the pids are the guest's.
Result<std::vector<std::vector<std::string>>> machine_top(const Observed& observed);

// As copy_out() and copy_in().
Result<> copy_out_of_machine(const Observed& observed, const std::string& path,
                             const std::string& host_path);
Result<> copy_into_machine(const Observed& observed, const std::string& host_path,
                           const std::string& path);

}  // namespace trivet::runtime
