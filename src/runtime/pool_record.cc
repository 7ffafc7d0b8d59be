#include "runtime/pool_record.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/error_json.h"
#include "base/fs.h"
#include "base/rollback.h"
#include "monitor/pool_member.h"
#include "runtime/names.h"
#include "runtime/options_json.h"

namespace trivet::runtime {

namespace {

constexpr const char* kWhere = "pool.json";

std::string pools_of(const Home& home) {
  return home.directories.data + "/pools";
}

Result<std::vector<std::string>> entries(const std::string& directory) {
  auto names = list_dir(AT_FDCWD, directory);
  if (!names && names.error().errnum() == ENOENT) return std::vector<std::string>();
  return names;
}

// Hidden names start with what no pool's name can start with.
std::string hidden_path(const Home& home) {
  return fmt::format("{}/.{}", pools_of(home), random_hex(8));
}

std::string lock_path(const std::string& directory) {
  return directory + "/lock";
}

// An open file description lock: asking about it has no effect on it, so that a look at a pool
// can't keep anybody from filling it.
struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

std::string print_pool(const PoolRecord& record) {
  const Json json{{"name", record.name},
                  {"created", format_rfc3339(record.created)},
                  {"size", record.size},
                  {"image", record.image},
                  {"options", options_to_json(record.run)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<PoolRecord> parse_pool(std::string_view text) {
  const Json json = TRY(parse_json(text, kWhere));
  const JsonView view(json, kWhere);
  PoolRecord record;
  std::string created;
  TRY(view.read("name", record.name));
  TRY(view.read("created", created));
  TRY(view.read("size", record.size));
  TRY(view.read("image", record.image));
  if (!created.empty()) record.created = TRY(parse_timestamp(created));
  if (const auto options = TRY(view.find("options"))) {
    record.run = TRY(options_from_json(*options));
  }
  if (record.size > kMaxPoolSize || !check_name(record.name)) {
    return fail(ErrorCode::kCorrupt, "{}: the name or the size is none", kWhere);
  }
  return record;
}

Result<PoolRecord> read_pool(const Home& home, std::string_view name) {
  const std::string text(name);
  const auto missing = [&] {
    return std::unexpected(Error(ErrorCode::kNotFound, fmt::format("there is no pool \"{}\"", name))
                               .hint("`trivet pool ls` lists them"));
  };
  if (!check_name(name)) return missing();
  auto content = read_file(monitor::pool_directory(home.directories, text) + "/pool.json");
  if (!content && content.error().errnum() == ENOENT) return missing();
  if (!content) return std::unexpected(content.error());
  return TRY_IN(parse_pool(*content), "pool \"{}\"", name);
}

Result<> write_pool(const Home& home, const PoolRecord& record) {
  return replace_file(AT_FDCWD,
                      monitor::pool_directory(home.directories, record.name) + "/pool.json",
                      print_pool(record), 0600);
}

Result<> add_pool(const Home& home, const PoolRecord& record) {
  Rollback rollback;
  const std::string made = hidden_path(home);
  const std::string path = monitor::pool_directory(home.directories, record.name);
  const auto add = [&]() -> Result<> {
    TRY(make_dirs(made + "/members", 0700));
    rollback.add([made] { return remove_tree(AT_FDCWD, made); });
    // Until it has its name: prune() leaves alone what somebody is at.
    const UniqueFd lock = TRY(lock_pool(made, Patience::kTry));
    TRY(replace_file(AT_FDCWD, made + "/pool.json", print_pool(record), 0600));
    if (renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno != EEXIST) return fail_errno("rename \"{}\" to \"{}\"", made, path);
    return std::unexpected(
        Error(ErrorCode::kAlreadyExists, fmt::format("there is a pool \"{}\" already", record.name))
            .hint(fmt::format("remove it first: trivet pool rm -f {}", record.name)));
  };
  if (auto added = add(); !added) return std::unexpected(rollback.fail(std::move(added).error()));
  rollback.commit();
  return {};
}

Result<std::string> hide_pool(const Home& home, std::string_view name) {
  const std::string path = monitor::pool_directory(home.directories, std::string(name));
  std::string hidden = hidden_path(home);
  if (::rename(path.c_str(), hidden.c_str()) != 0) {
    return fail_errno("rename \"{}\" to \"{}\"", path, hidden);
  }
  return hidden;
}

Result<std::vector<std::string>> list_pool_names(const Home& home) {
  std::vector<std::string> names = TRY(entries(pools_of(home)));
  std::erase_if(names, [](const std::string& name) { return name.starts_with('.'); });
  return names;
}

Result<std::vector<std::string>> list_hidden_pools(const Home& home) {
  std::vector<std::string> hidden;
  for (const std::string& name : TRY(entries(pools_of(home)))) {
    if (name.starts_with('.')) hidden.push_back(fmt::format("{}/{}", pools_of(home), name));
  }
  return hidden;
}

Result<std::vector<std::string>> list_members(const std::string& directory) {
  return entries(directory + "/members");
}

Result<UniqueFd> lock_pool(const std::string& directory, Patience patience) {
  UniqueFd fd = TRY(open_file(lock_path(directory), O_RDWR | O_CREAT, 0600));
  struct flock lock = whole_file();
  const int how = patience == Patience::kTry ? F_OFD_SETLK : F_OFD_SETLKW;
  while (fcntl(fd.get(), how, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES) return UniqueFd();
    if (errno != EINTR) return fail_errno("lock \"{}\"", directory);
  }
  return fd;
}

bool is_pool_locked(const std::string& directory) {
  const auto fd = open_file(lock_path(directory), O_RDWR);
  if (!fd) return false;
  struct flock lock = whole_file();
  return fcntl(fd->get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void note_pool_failure(const Home& home, const std::string& name,
                       const std::optional<Error>& error) {
  const std::string path = monitor::pool_directory(home.directories, name) + "/failure";
  if (!error) {
    (void)::unlink(path.c_str());
    return;
  }
  // On a full disk there is nothing to be done about it.
  (void)replace_file(AT_FDCWD, path, error_to_text(*error), 0600);
}

std::optional<Error> last_pool_failure(const Home& home, const std::string& name) {
  const auto text =
      read_file(monitor::pool_directory(home.directories, name) + "/failure", 1U << 20U);
  if (!text) return std::nullopt;
  return error_from_text(*text, "the pool");
}

}  // namespace trivet::runtime
