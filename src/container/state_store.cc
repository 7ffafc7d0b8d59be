#include "container/state_store.h"

#include <cstring>
#include <dirent.h>
#include <memory>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"

namespace trivet::container {

namespace {

constexpr const char* kStateFile = "/state.json";
constexpr const char* kStartSocket = "start.sock";

Json paths_to_json(const cgroup::Paths& paths) {
  Json json{{"mode", cgroup::mode_name(paths.mode)},
            {"directories", paths.directories},
            {"controllers", paths.by_controller}};
  if (paths.scope) {
    json["scope"] = {{"unit", paths.scope->unit},
                     {"slice", paths.scope->slice},
                     {"ofUser", paths.scope->of_user}};
  }
  return json;
}

Result<cgroup::Paths> paths_from_json(const JsonView& view) {
  cgroup::Paths paths;
  std::string mode;
  TRY(view.read("mode", mode));
  for (const cgroup::Mode known : {cgroup::Mode::kV1, cgroup::Mode::kV2, cgroup::Mode::kHybrid}) {
    if (mode == cgroup::mode_name(known)) paths.mode = known;
  }
  TRY(view.read("directories", paths.directories));
  if (const auto controllers = TRY(view.find("controllers"))) {
    for (const auto& [name, directory] : TRY(controllers->members())) {
      paths.by_controller.emplace(name, TRY(directory.as_string()));
    }
  }
  if (const auto scope = TRY(view.find("scope"))) {
    paths.scope.emplace();
    TRY(scope->read("unit", paths.scope->unit));
    TRY(scope->read("slice", paths.scope->slice));
    TRY(scope->read("ofUser", paths.scope->of_user));
  }
  return paths;
}

// A path below /proc/self/fd keeps within the 108 bytes of sockaddr_un.
sockaddr_un socket_address(int directory_fd) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory_fd, kStartSocket);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> make_socket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  return fd;
}

struct CloseDir {
  void operator()(DIR* dir) const { closedir(dir); }
};

Result<size_t> count_entries(const std::string& directory) {
  const std::unique_ptr<DIR, CloseDir> dir(opendir(directory.c_str()));
  if (!dir) return fail_errno("read directory \"{}\"", directory);
  size_t count = 0;
  while (const dirent* entry = readdir(dir.get())) count += entry->d_name[0] == '.' ? 0 : 1;
  return count;
}

}  // namespace

std::string print_record(const Container::Record& record) {
  Json json{{"id", record.id},
            {"bundle", record.bundle},
            {"rootfs", record.rootfs},
            {"pid", record.init.pid},
            {"startTicks", record.init.start_ticks},
            {"created", format_rfc3339(record.created)},
            {"cgroupDriver", static_cast<int>(record.cgroup_driver)},
            {"annotations", record.annotations},
            {"hasHooks", record.has_hooks},
            {"hasProcess", record.has_process},
            {"ownShell", record.own_shell},
            {"rootMount", record.root_mount}};
  if (!record.resctrl_groups.empty()) json["resctrlGroups"] = record.resctrl_groups;
  if (record.cgroup_paths) json["cgroup"] = paths_to_json(*record.cgroup_paths);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Container::Record> parse_record(std::string_view text) {
  const Json document = TRY(parse_json(text, "state.json"));
  const JsonView view(document, "");
  Container::Record record;
  TRY(view.read("id", record.id));
  TRY(view.read("bundle", record.bundle));
  TRY(view.read("rootfs", record.rootfs));
  TRY(view.read("pid", record.init.pid));
  TRY(view.read("startTicks", record.init.start_ticks));
  std::string created;
  TRY(view.read("created", created));
  record.created = TRY(parse_timestamp(created));
  int driver = 0;
  TRY(view.read("cgroupDriver", driver));
  record.cgroup_driver = static_cast<cgroup::Driver>(driver);
  TRY(view.read("hasHooks", record.has_hooks));
  TRY(view.read("hasProcess", record.has_process));
  TRY(view.read("ownShell", record.own_shell));
  TRY(view.read("resctrlGroups", record.resctrl_groups));
  TRY(view.read("rootMount", record.root_mount));
  if (const auto annotations = TRY(view.find("annotations"))) {
    for (const auto& [key, value] : TRY(annotations->members())) {
      record.annotations.emplace(key, TRY(value.as_string()));
    }
  }
  if (const auto paths = TRY(view.find("cgroup")))
    record.cgroup_paths = TRY(paths_from_json(*paths));
  return record;
}

Result<> write_record(const std::string& directory, const Container::Record& record) {
  return replace_file(AT_FDCWD, directory + kStateFile, print_record(record), 0600);
}

Result<Container::Record> read_record(const std::string& directory) {
  const std::string text = TRY(read_file(directory + kStateFile));
  return parse_record(text);
}

Result<std::string> claim_directory(const std::string& state_root, const std::string& id,
                                    size_t max_containers) {
  TRY(make_dirs(state_root, 0711));
  const size_t count = TRY(count_entries(state_root));
  if (count >= max_containers) {
    return std::unexpected(
        Error(ErrorCode::kLimitExceeded,
              fmt::format("there are {} containers in \"{}\" already, the limit is {}", count,
                          state_root, max_containers))
            .hint("remove some, for example with \"trivet prune\""));
  }
  std::string directory = state_root + "/" + id;
  if (mkdir(directory.c_str(), 0700) != 0) {
    if (errno == EEXIST) {
      return fail(ErrorCode::kAlreadyExists, "container with given ID already exists");
    }
    return fail_errno("mkdir \"{}\"", directory);
  }
  return directory;
}

Result<UniqueFd> listen_for_start(const std::string& directory) {
  const UniqueFd dir = TRY(open_file(directory, O_PATH | O_DIRECTORY));
  UniqueFd fd = TRY(make_socket());
  const sockaddr_un address = socket_address(dir.get());
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), 8) != 0) {
    return fail_errno("listen on \"{}/{}\"", directory, kStartSocket);
  }
  return fd;
}

Result<UniqueFd> connect_to_start(const std::string& directory) {
  const UniqueFd dir = TRY(open_file(directory, O_PATH | O_DIRECTORY));
  UniqueFd fd = TRY(make_socket());
  const sockaddr_un address = socket_address(dir.get());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return fd;
  if (errno == ECONNREFUSED || errno == ENOENT) {
    return fail(ErrorCode::kWrongState, "the container does not wait to be started");
  }
  return fail_errno("connect to \"{}/{}\"", directory, kStartSocket);
}

}  // namespace trivet::container
