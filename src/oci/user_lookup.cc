// Users and groups of an image by its own files (Docker's rules; image-spec: config.md, User).
#include "oci/user_lookup.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/fs.h"
#include "base/text.h"

namespace trivet::oci {

namespace {

constexpr size_t kMaxDatabase = 1U << 20U;
constexpr uint32_t kMaxId = 0xFFFFFFFE;  // -1 means "leave it" to setresuid

// passwd(5): name:password:uid:gid:gecos:home:shell
constexpr size_t kPasswdFields = 7;
// group(5): name:password:gid:members
constexpr size_t kGroupFields = 4;

std::optional<uint32_t> parse_id(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id > kMaxId) {
    return std::nullopt;
  }
  return id;
}

// The lines of a database of the image, split at the colons; lines of another shape are left out,
// as the C library does.
using Rows = std::vector<std::vector<std::string>>;
Result<Rows> read_rows(const OpenInRoot& open, const char* path, size_t fields) {
  Rows rows;
  auto fd = open(path);
  if (!fd && fd.error().code() == ErrorCode::kNotFound) return rows;
  if (!fd) return std::unexpected(std::move(fd).error());
  const std::string text = TRY(read_fd(fd->get(), path, kMaxDatabase));
  for (const std::string& line : split(text, '\n')) {
    auto row = split(line, ':');
    if (row.size() >= fields - 1 && !row.front().empty()) {
      row.resize(fields);
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::unexpected<Error> unknown(std::string_view kind, std::string_view name, const Rows& rows) {
  std::vector<std::string> known;
  for (const auto& row : rows) known.push_back(row.front());
  const std::string near = nearest_name(name, known);
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("the image has no {} \"{}\"", kind, name))
          .hint(near.empty() ? fmt::format("use a number, or a {} of the image's "
                                           "/etc/{}",
                                           kind, kind == "user" ? "passwd" : kind)
                             : fmt::format("did you mean \"{}\"?", near)));
}

// By name first, then by number.
const std::vector<std::string>* find_row(const Rows& rows, std::string_view wanted) {
  const auto by_name =
      std::ranges::find_if(rows, [&](const auto& row) { return row.front() == wanted; });
  if (by_name != rows.end()) return &*by_name;
  const auto id = parse_id(wanted);
  if (!id) return nullptr;
  const auto by_id =
      std::ranges::find_if(rows, [&](const auto& row) { return parse_id(row[2]) == id; });
  return by_id != rows.end() ? &*by_id : nullptr;
}

Result<uint32_t> id_of(const std::vector<std::string>* row, std::string_view kind,
                       std::string_view wanted, const Rows& rows) {
  const auto id = row != nullptr ? parse_id((*row)[2]) : parse_id(wanted);
  if (!id) return unknown(kind, wanted, rows);
  return *id;
}

// The groups that list the user as a member.
std::vector<uint32_t> groups_of(const Rows& groups, const std::string& user) {
  std::vector<uint32_t> ids;
  for (const auto& row : groups) {
    const auto members = split(row[3], ',');
    const auto id = parse_id(row[2]);
    const bool member =
        std::ranges::any_of(members, [&](const std::string& name) { return trim(name) == user; });
    if (member && id && std::ranges::find(ids, *id) == ids.end()) ids.push_back(*id);
  }
  return ids;
}

}  // namespace

Result<User> look_up_user(const OpenInRoot& open, std::string_view user, std::string* home) {
  const size_t colon = user.find(':');
  const std::string_view name = user.empty() ? "0" : user.substr(0, colon);
  const std::string_view group = colon == std::string_view::npos ? "" : user.substr(colon + 1);
  if (name.empty() || (colon != std::string_view::npos && group.empty())) {
    return std::unexpected(Error(ErrorCode::kInvalidArgument, fmt::format("user \"{}\"", user))
                               .hint("write it as USER, UID, USER:GROUP or UID:GID"));
  }
  const Rows users = TRY_IN(read_rows(open, "etc/passwd", kPasswdFields), "user \"{}\"", user);
  const Rows groups = TRY_IN(read_rows(open, "etc/group", kGroupFields), "user \"{}\"", user);
  const auto* row = find_row(users, name);
  User resolved;
  resolved.uid = TRY(id_of(row, "user", name, users));
  if (row != nullptr) resolved.gid = parse_id((*row)[3]).value_or(0);
  if (!group.empty()) {
    resolved.gid = TRY(id_of(find_row(groups, group), "group", group, groups));
  } else if (row != nullptr) {
    resolved.additional_gids = groups_of(groups, row->front());
  }
  // The primary group too: a process that could leave it by setgid(2) would pass by files that deny
  // access to this very group (CVE-2022-36109).
  auto& all = resolved.additional_gids;
  if (std::ranges::find(all, resolved.gid) == all.end()) all.insert(all.begin(), resolved.gid);
  if (home != nullptr) *home = row != nullptr && (*row)[5].starts_with('/') ? (*row)[5] : "/";
  return resolved;
}

}  // namespace trivet::oci
