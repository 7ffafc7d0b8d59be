// The stage's own state and the helpers its steps share.
#pragma once

#include "container/stage/kernel.h"
#include "container/stage/plan.h"

namespace trivet::stage {

// Where a step failed: -errno, and which operand and call it was.
struct Outcome {
  int32_t error = 0;
  uint32_t operand = 0;
  Call call = Call::kNone;
  [[nodiscard]] bool ok() const { return error == 0; }
};

inline Outcome failed(long error, uint32_t operand = 0, Call call = Call::kNone) {
  return Outcome{.error = static_cast<int32_t>(error), .operand = operand, .call = call};
}
// A negative result of sys() as an Outcome; anything else is success.
inline Outcome check(long result, uint32_t operand = 0, Call call = Call::kNone) {
  return result < 0 ? failed(result, operand, call) : Outcome{};
}

struct Context {
  char* base = nullptr;
  const Plan* plan = nullptr;
  int sync_fd = -1;    // to whoever waits for our reports; changes when another process starts us
  int root_fd = -1;    // the container's root, as long as it is not "/"
  int proc_fd = -1;    // a procfs of our own that no container can have covered
  int master_fd = -1;  // between kConsole's opening and its sending
  int slave_fd = -1;
  const char* program = nullptr;  // what kFindProgram found

  [[nodiscard]] bool has(PlanFlags flag) const { return (plan->flags & flag) != 0; }
  [[nodiscard]] const char* text(Text text) const { return base + text.offset; }
  template <typename T>
  [[nodiscard]] const T* data(Span<T> span) const {
    return reinterpret_cast<const T*>(base + span.offset);
  }
};

size_t length(const char* text);
bool equal(const char* a, const char* b);

// openat2 confined to the root: symlinks and ".." can't leave it, magic links are refused.
long open_in_root(int root_fd, const char* path, uint64_t flags, uint64_t mode = 0);
// Opens `path` in the root with O_PATH, making missing directories and, at the end, a directory or
// an empty file.
enum class Make { kDirectory, kFile };
long make_in_root(Context& context, const char* path, Make what);
// Opens what is there, where no component of the path may be a symlink.
long open_plain(const Context& context, const char* path, uint64_t flags);

// File type and device of an open descriptor.
struct FileKind {
  uint32_t mode = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  [[nodiscard]] bool is_directory() const { return (mode & 0170000) == 0040000; }
  [[nodiscard]] bool is_character_device(uint32_t want_major, uint32_t want_minor) const {
    return (mode & 0170000) == 0020000 && major == want_major && minor == want_minor;
  }
};
long look_at(long fd, FileKind& kind);
// Attaches a detached mount to an open descriptor.
long move_to(long mount_fd, long target_fd);
inline constexpr int kEmptyPath = 0x1000;  // AT_EMPTY_PATH

// Copies what is below the directory `from` into the empty one `to`: directories, files, symlinks
// and special files with their owners and permissions. 0 or -errno.
long copy_tree(long from, long to);
// A procfs of our own, mounted nowhere.
long private_proc(Context& context);

void send_message(Context& context, const Message& message, int fd = -1);
// Waits for kGo. False at the end of the stream.
bool wait_for_go(int fd);
// Announces `kind`, then waits: 0, or -ECANCELED when the parent went away.
long pause_for_parent(Context& context, MessageKind kind);

// The steps (each in the file named after its subject).
Outcome mount_root(Context& context);
Outcome mount_all(Context& context);
Outcome make_devices(Context& context);
Outcome make_symlinks(Context& context);
Outcome open_console(Context& context);
Outcome write_sysctls(Context& context);
Outcome mask_paths(Context& context);
Outcome protect_paths(Context& context);
Outcome show_root(Context& context);
Outcome pivot_root(Context& context);
Outcome readonly_root(Context& context);
Outcome final_propagation(Context& context);

Outcome join_namespaces(Context& context);
Outcome set_initial_cpus(Context& context);
Outcome join_cgroup(Context& context);
Outcome set_final_cpus(Context& context);
Outcome unshare_rest(Context& context);
Outcome start_session(Context& context);
Outcome bring_loopback_up(Context& context);
Outcome set_hostname(Context& context);
Outcome set_domainname(Context& context);

Outcome new_keyring(Context& context);
Outcome connect_stdio(Context& context);
Outcome set_scheduler(Context& context);
Outcome set_io_priority(Context& context);
Outcome set_personality(Context& context);
Outcome set_memory_policy(Context& context);
Outcome set_rlimits(Context& context);
Outcome set_lsm_label(Context& context);
Outcome drop_bounding_set(Context& context);
Outcome set_groups(Context& context);
Outcome set_user(Context& context);
Outcome set_capabilities(Context& context);
Outcome enter_cwd(Context& context);
Outcome find_program(Context& context);
Outcome set_no_new_privileges(Context& context);
Outcome load_seccomp(Context& context);
Outcome close_descriptors(Context& context);
Outcome execute(Context& context);

}  // namespace trivet::stage
