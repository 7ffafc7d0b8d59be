#include "runtime/names.h"

#include <algorithm>
#include <array>
#include <optional>
#include <sys/random.h>
#include <unistd.h>

#include <climits>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/name_words.h"

namespace trivet::runtime {

namespace {

bool is_hex(std::string_view text) {
  return std::ranges::all_of(
      text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_name(std::string_view name) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !name.empty() && name.size() <= 128 && word(name.front()) &&
         std::ranges::all_of(name,
                             [&](char c) { return word(c) || c == '_' || c == '.' || c == '-'; });
}

std::string claim_path(const Home& home, std::string_view name) {
  return fmt::format("{}/{}", home.directories.names(), name);
}

// Who holds a name, if anyone does.
std::optional<std::string> holder(const Home& home, std::string_view name) {
  std::array<char, 256> target{};
  const ssize_t length = readlink(claim_path(home, name).c_str(), target.data(), target.size() - 1);
  if (length <= 0) return std::nullopt;
  return std::string(target.data(), static_cast<size_t>(length));
}

bool container_exists(const Home& home, const std::string& id) {
  return id.size() == 64 && is_hex(id) && exists(home.directories.container(id));
}

std::unexpected<Error> name_taken(std::string_view name, const std::string& id) {
  return std::unexpected(
      Error(ErrorCode::kAlreadyExists,
            fmt::format("the name \"{}\" is in use by container {}", name, id.substr(0, 12)))
          .hint(fmt::format("remove it (trivet rm {0}), rename it (trivet rename {0} NEW), or "
                            "choose another name",
                            name)));
}

}  // namespace

Result<> check_name(std::string_view name) {
  if (is_name(name)) return {};
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no container name", name))
          .hint("a name is up to 128 of [a-zA-Z0-9_.-] and starts with a letter or digit"));
}

std::string make_id() {
  return random_hex(32);
}

std::string make_name() {
  std::array<uint16_t, 2> random{};
  (void)getrandom(random.data(), sizeof random, 0);
  return fmt::format("{}_{}", kAdjectives.at(random[0] % kAdjectives.size()),
                     kNouns.at(random[1] % kNouns.size()));
}

Result<std::optional<std::string>> owner_or_release(const Home& home, const std::string& name) {
  auto owner = holder(home, name);
  if (!owner || container_exists(home, *owner)) return owner;
  TRY(monitor::release_name(home.directories, name, *owner));
  return std::nullopt;
}

Result<> claim_name(const Home& home, const std::string& name, const std::string& id) {
  TRY(check_name(name));
  const std::string path = claim_path(home, name);
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (symlink(id.c_str(), path.c_str()) == 0) return {};
    if (errno == ENOENT) {
      TRY(make_dirs(home.directories.names(), 0700));
      continue;
    }
    if (errno != EEXIST) return fail_errno("symlink \"{}\"", path);
    if (const auto owner = TRY(owner_or_release(home, name))) return name_taken(name, *owner);
  }
  return fail(ErrorCode::kAlreadyExists, "the name \"{}\" is in use", name);
}

Result<std::string> claim_made_name(const Home& home, const std::string& id) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    std::string name = make_name();
    if (attempt >= 5) name += fmt::format("_{}", random_hex(2));
    const auto claimed = claim_name(home, name, id);
    if (claimed) return name;
    if (claimed.error().code() != ErrorCode::kAlreadyExists)
      return std::unexpected(claimed.error());
  }
  return fail(ErrorCode::kAlreadyExists, "no free name was found in 20 attempts");
}

Result<std::string> find_id(const Home& home, std::string_view name) {
  std::string text(name);
  if (container_exists(home, text)) return text;
  if (is_name(name)) {
    const auto owner = holder(home, name);
    if (owner && container_exists(home, *owner)) return *owner;
  }
  std::string found;
  if (!name.empty() && name.size() < 64 && is_hex(name)) {
    for (const std::string& id : TRY(list_ids(home))) {
      if (!id.starts_with(name)) continue;
      if (!found.empty()) {
        return std::unexpected(Error(ErrorCode::kInvalidArgument,
                                     fmt::format("several container ids start with \"{}\"", name))
                                   .hint("give more digits; `trivet ps -a` lists the containers"));
      }
      found = id;
    }
  }
  if (!found.empty()) return found;
  return std::unexpected(
      Error(ErrorCode::kNotFound, fmt::format("there is no container \"{}\"", name))
          .hint("`trivet ps -a` lists the containers"));
}

Result<std::vector<std::string>> list_ids(const Home& home) {
  auto names = list_dir(AT_FDCWD, home.containers());
  if (!names) {
    if (names.error().errnum() == ENOENT) return std::vector<std::string>();
    return std::unexpected(names.error());
  }
  std::erase_if(*names, [](const std::string& id) { return id.size() != 64 || !is_hex(id); });
  return std::move(*names);
}

}  // namespace trivet::runtime
