// Control files and directory trees of cgroups: internal to the cgroup module.
//
// Paths are absolute: the hierarchies are the host's own, no container can put a link there, and
// one walk of four components is cheaper than keeping a descriptor for each directory.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace trivet::cgroup {

// A control file in one write(2).
Result<> write_control(const std::string& directory, const std::string& file,
                       std::string_view value);
Result<std::string> read_control(const std::string& directory, const std::string& file);

// A file with one number; "max" and what v1 prints for "no limit" are UINT64_MAX.
Result<uint64_t> read_number(const std::string& directory, const std::string& file);
// The number after `key` in a file of "key value" lines; nothing when there is no such line.
[[nodiscard]] std::optional<uint64_t> find_value(std::string_view text, std::string_view key);

// Makes `directory` and what is missing between it and `mount_point`. Made parents are marked as
// ours. Another process may take a parent away in between: tried again then. Returns true when the
// directory itself is new.
Result<bool> make_directory(const std::string& mount_point, const std::string& directory);

// Turns a v2 controller on in cgroup.subtree_control of every parent of `directory`, from the mount
// point down, where it is not on already.
Result<> enable_controller(const std::string& mount_point, const std::string& directory,
                           const std::string& controller);

// Removes the directory with its subgroups; missing is fine. EBUSY while processes are inside.
Result<> remove_directories(const std::string& directory);
// Removes parents of `directory` that carry our mark, as long as they are empty.
void remove_marked_parents(const std::string& directory);

// Processes (tgids) of the cgroup and its subgroups; missing is empty.
Result<std::vector<pid_t>> processes_below(const std::string& directory);

struct Hierarchy;
[[nodiscard]] bool has_controller(const Hierarchy& hierarchy, std::string_view controller);

// "/sys/fs/cgroup/a/b" to "/sys/fs/cgroup/a".
[[nodiscard]] std::string parent_of(const std::string& directory);

struct Setting;
// Refuses a memory limit that is less than what is in use, where the setting asks for that.
Result<> check_usage(const std::string& directory, const Setting& setting);

// A v1 cpuset starts empty, and nothing can join it before it has CPUs and memory nodes: those of
// its parent, which is given its own first.
Result<> inherit_cpuset(const std::string& mount_point, const std::string& directory);

// Calls `done` until it returns true or fails, sleeping in between for 50 µs at first and 10 ms in
// the end. Returns false when the time is up.
Result<bool> poll_until(std::chrono::milliseconds timeout,
                        const std::function<Result<bool>()>& done);

}  // namespace trivet::cgroup
