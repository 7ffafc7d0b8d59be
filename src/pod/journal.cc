#include "pod/journal.h"

#include <algorithm>
#include <array>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <climits>

#include "base/fs.h"
#include "base/json.h"
#include "base/rollback.h"

namespace trivet::pod {

namespace {

constexpr std::array kSteps{"files", "container", "infra",    "network", "create",
                            "start", "running",   "stopping", "ended",   "removing"};

std::string pods_directory(const monitor::Directories& directories) {
  return directories.data + "/pods";
}

std::string name_path(const monitor::Directories& directories, const std::string& name) {
  return directories.data + "/pod-names/" + name;
}

struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

std::string head_line(const JournalHead& head) {
  Json containers = Json::array();
  for (const JournalContainer& container : head.containers) {
    containers.push_back({{"id", container.id}, {"name", container.name}});
  }
  const Json json{{"pod", head.id},
                  {"name", head.name},
                  {"cgroupParent", head.cgroup_parent},
                  {"containers", std::move(containers)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<JournalHead> parse_head(std::string_view line) {
  const Json json = TRY(parse_json(line, "the pod's journal"));
  const JsonView view(json, "journal");
  JournalHead head;
  TRY(view.read("pod", head.id));
  TRY(view.read("name", head.name));
  TRY(view.read("cgroupParent", head.cgroup_parent));
  const auto containers = TRY(view.find("containers"));
  if (!containers) return head;
  for (const JsonView& entry : TRY(containers->elements())) {
    JournalContainer& container = head.containers.emplace_back();
    TRY(entry.read("id", container.id));
    TRY(entry.read("name", container.name));
  }
  return head;
}

// Nothing for a line that a crash of the host has torn.
std::optional<Step> parse_step(std::string_view line) {
  const auto json = parse_json(line, "the pod's journal");
  std::string name;
  if (!json || !JsonView(*json, "journal").read("step", name)) return std::nullopt;
  const auto found = std::ranges::find(kSteps, name);
  if (found == kSteps.end()) return std::nullopt;
  return static_cast<Step>(found - kSteps.begin());
}

// Locks a journal that nobody else has seen, or that nobody holds. False: somebody does.
Result<bool> try_lock(int fd) {
  struct flock lock = whole_file();
  if (fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
  if (errno == EAGAIN || errno == EACCES) return false;
  return fail_errno("lock a pod's journal");
}

// A crash of the host may have torn it.
Result<> end_last_line(int fd, const PodPaths& paths) {
  const off_t size = lseek(fd, 0, SEEK_END);
  char last = '\n';
  if (size > 0 && pread(fd, &last, 1, size - 1) != 1) {
    return fail_errno("read \"{}\"", paths.journal());
  }
  return last == '\n' ? Result<>() : write_all(fd, "\n", paths.journal());
}

// While it is held no pod is between its directory and its locked journal.
Result<UniqueFd> lock_pods(const monitor::Directories& directories, int operation) {
  UniqueFd fd = TRY(open_file(pods_directory(directories), O_RDONLY | O_DIRECTORY));
  if (flock(fd.get(), operation) == 0) return fd;
  if (errno == EWOULDBLOCK) return UniqueFd();
  return fail_errno("lock \"{}\"", pods_directory(directories));
}

}  // namespace

const char* step_name(Step step) {
  return kSteps.at(static_cast<size_t>(step));
}

Result<Journal> Journal::begin(const PodPaths& paths, const JournalHead& head) {
  TRY(make_dirs(pods_directory(paths.directories), 0700));
  const UniqueFd being_made = TRY(lock_pods(paths.directories, LOCK_SH));
  Rollback rollback;
  if (mkdir(paths.data().c_str(), 0700) != 0) return fail_errno("mkdir \"{}\"", paths.data());
  rollback.add([&] { return remove_tree(AT_FDCWD, paths.data()); });
  UniqueFd fd = TRY(open_file(paths.journal(), O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0600));
  if (!TRY(try_lock(fd.get()))) {
    return fail(ErrorCode::kSystem, "\"{}\" is locked by another process", paths.journal());
  }
  TRY(write_all(fd.get(), head_line(head), paths.journal()));
  rollback.commit();
  return Journal(std::move(fd));
}

Result<std::optional<Journal>> Journal::take(const PodPaths& paths) {
  auto fd = open_file(paths.journal(), O_RDWR | O_APPEND);
  if (!fd && fd.error().errnum() != ENOENT) return std::unexpected(fd.error());
  if (!fd) {
    // Killed between the two; or it is just being made.
    const UniqueFd nobody_makes = TRY(lock_pods(paths.directories, LOCK_EX | LOCK_NB));
    if (!nobody_makes || !exists(paths.data())) return std::nullopt;
    fd = TRY(open_file(paths.journal(), O_RDWR | O_CREAT | O_APPEND, 0600));
  }
  if (!TRY(try_lock(fd->get()))) return std::nullopt;
  TRY(end_last_line(fd->get(), paths));
  return Journal(std::move(*fd));
}

Result<> Journal::note(Step step, std::string_view subject) const {
  const Json json{{"step", step_name(step)}, {"subject", subject}};
  std::string line = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  // In one call, appended: it is there as a whole or not at all. writev(2) is used for nothing else
  // in here, so that tests can strike at any entry.
  const iovec part{.iov_base = line.data(), .iov_len = line.size()};
  ssize_t count = 0;
  do {
    count = ::writev(fd_.get(), &part, 1);
  } while (count < 0 && errno == EINTR);
  if (count == static_cast<ssize_t>(line.size())) return {};
  if (count >= 0) return fail(ErrorCode::kSystem, "write to the pod's journal: the disk is full");
  return fail_errno("write to the pod's journal");
}

Result<JournalContent> read_journal(const PodPaths& paths) {
  const std::string text = TRY(read_file(paths.journal()));
  JournalContent content;
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    const std::string_view line(text.data() + begin, end - begin);
    if (begin == 0) {
      if (auto head = parse_head(line)) content.head = std::move(*head);
    } else if (const auto step = parse_step(line)) {
      content.last = *step;
      if (*step == Step::kRunning) content.committed = true;
    }
    begin = end + 1;
  }
  return content;
}

bool is_held(const PodPaths& paths) {
  const auto fd = open_file(paths.journal(), O_RDWR);
  if (!fd) return false;
  struct flock lock = whole_file();
  return fcntl(fd->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

std::optional<std::string> find_pod_name(const monitor::Directories& directories,
                                         const std::string& name) {
  std::array<char, PATH_MAX> target{};
  const ssize_t length =
      readlink(name_path(directories, name).c_str(), target.data(), target.size());
  if (length <= 0) return std::nullopt;
  std::string id(target.data(), static_cast<size_t>(length));
  if (!exists(PodPaths{.directories = directories, .id = id}.data())) return std::nullopt;
  return id;
}

Result<> claim_pod_name(const monitor::Directories& directories, const std::string& name,
                        const std::string& id) {
  const std::string path = name_path(directories, name);
  TRY(make_dirs(directories.data + "/pod-names", 0700));
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (symlink(id.c_str(), path.c_str()) == 0) return {};
    if (errno != EEXIST) return fail_errno("symlink \"{}\"", path);
    if (const auto owner = find_pod_name(directories, name)) {
      return std::unexpected(
          Error(ErrorCode::kAlreadyExists,
                fmt::format("there is a pod \"{}\" already: {}", name, owner->substr(0, 12)))
              .hint(fmt::format("remove it (trivet pod rm -f {}), or run this one with --name",
                                name)));
    }
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("unlink \"{}\"", path);
  }
  return fail(ErrorCode::kAlreadyExists, "the pod name \"{}\" is in use", name);
}

Result<> release_pod_name(const monitor::Directories& directories, const std::string& name,
                          const std::string& id) {
  std::array<char, PATH_MAX> target{};
  const std::string path = name_path(directories, name);
  const ssize_t length = readlink(path.c_str(), target.data(), target.size());
  if (length < 0 && errno == ENOENT) return {};
  if (length < 0) return fail_errno("readlink \"{}\"", path);
  if (std::string_view(target.data(), static_cast<size_t>(length)) != id) return {};
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("unlink \"{}\"", path);
  return {};
}

}  // namespace trivet::pod
