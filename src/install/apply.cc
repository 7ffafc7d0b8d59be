#include <ranges>

#include "base/fs.h"
#include "base/rollback.h"
#include "base/sha256.h"
#include "install/config_file.h"
#include "install/record.h"

namespace trivet {

namespace {

using install::Record;
using install::RecordPlace;

constexpr mode_t kRecordMode = 0600;  // a configuration may hold passwords

Result<> remove_file(const std::string& path) {
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove \"{}\"", path);
  return {};
}

Result<> put_file(const std::string& path, const std::optional<std::string>& text) {
  return text ? install::write_config_file(path, *text) : remove_file(path);
}

// The directories of `path` that are not there, the outermost first.
std::vector<std::string> missing_dirs(const std::string& path) {
  std::vector<std::string> missing;
  for (std::string folder = path.substr(0, path.rfind('/')); !folder.empty() && !exists(folder);
       folder.resize(folder.rfind('/'))) {
    missing.insert(missing.begin(), folder);
  }
  return missing;
}

Result<> make_missing_dirs(const std::vector<std::string>& folders, Rollback& rollback) {
  for (const std::string& folder : folders) {
    if (mkdir(folder.c_str(), 0755) != 0) return fail_errno("make directory \"{}\"", folder);
    rollback.add([folder]() -> Result<> {
      if (rmdir(folder.c_str()) != 0) return fail_errno("remove directory \"{}\"", folder);
      return {};
    });
  }
  return {};
}

Result<> put_record(const RecordPlace& place, const Record& record, Rollback& rollback) {
  const auto old = read_file(place.path);
  rollback.add([place, text = old ? std::optional(*old) : std::nullopt]() -> Result<> {
    if (!text) return remove_file(place.path);
    return replace_file(AT_FDCWD, place.path, *text, kRecordMode, Durability::kDurable);
  });
  return replace_file(AT_FDCWD, place.path, print_record(record), kRecordMode,
                      Durability::kDurable);
}

// Puts a link in the place of another, so that there is one at each moment.
Result<> put_link(const LinkChange& link, Rollback& rollback) {
  const std::string temporary = link.path + ".new";
  TRY(remove_file(temporary));
  if (symlink(link.target.c_str(), temporary.c_str()) != 0) {
    return fail_errno("make the link \"{}\"", temporary);
  }
  const bool was_there = exists(link.path);
  if (rename(temporary.c_str(), link.path.c_str()) != 0) {
    auto failed = fail_errno("rename \"{}\" to \"{}\"", temporary, link.path);
    unlink(temporary.c_str());
    return failed;
  }
  if (!was_there) rollback.add([path = link.path] { return remove_file(path); });
  return {};
}

// The file comes last: from then on its reader needs everything else.
Result<> install_steps(const InstallPlan& plan, const RecordPlace& place, Rollback& rollback) {
  Record record{.file = plan.file.path,
                .before = plan.original,
                .after_digest = sha256_of(plan.file.after.value_or("")),
                .registration = {plan.handlers, plan.options.as_default, {}},
                .made_dirs = missing_dirs(plan.file.path)};
  const auto older = TRY(install::read_record(place));
  TRY(make_missing_dirs(record.made_dirs, rollback));
  if (older) {
    record.made_dirs.insert(record.made_dirs.begin(), older->made_dirs.begin(),
                            older->made_dirs.end());
  }
  TRY(put_record(place, record, rollback));
  if (!plan.links.empty()) TRY(make_dirs(place.links));
  for (const LinkChange& link : plan.links) TRY(put_link(link, rollback));
  if (plan.file.before != plan.file.after) TRY(put_file(plan.file.path, plan.file.after));
  return {};
}

// The record goes last: what was cut short can be done again.
Result<> uninstall_steps(const InstallPlan& plan, const RecordPlace& place) {
  const auto record = TRY(install::read_record(place));
  if (plan.file.before != plan.file.after) TRY(put_file(plan.file.path, plan.file.after));
  for (const LinkChange& link : plan.links) TRY(remove_file(link.path));
  if (!plan.links.empty()) rmdir(place.links.c_str());
  if (record) {
    // Where somebody has put something else meanwhile they stay.
    for (const std::string& folder : std::views::reverse(record->made_dirs)) {
      rmdir(folder.c_str());
    }
  }
  return remove_file(place.path);
}

Result<> check_unchanged(const InstallPlan& plan) {
  if (TRY(install::read_config_file(plan.file.path)) == plan.file.before) return {};
  return std::unexpected(
      Error(ErrorCode::kWrongState, fmt::format("\"{}\" was changed meanwhile", plan.file.path))
          .hint("try again: the change that was shown is out of date"));
}

}  // namespace

Result<> apply_plan(const InstallPlan& plan) {
  if (plan.empty()) return {};
  const RecordPlace place =
      install::record_place(plan.options.data_dir, plan.caller, plan.file.path);
  TRY(make_dirs(place.folder));
  const FileLock lock = TRY(FileLock::acquire(AT_FDCWD, place.folder + "/lock"));
  TRY(check_unchanged(plan));
  if (plan.removes) return uninstall_steps(plan, place);
  Rollback rollback;
  auto done = install_steps(plan, place, rollback);
  if (!done) return std::unexpected(rollback.fail(std::move(done).error()));
  rollback.commit();
  return {};
}

}  // namespace trivet
