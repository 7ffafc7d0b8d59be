#include <algorithm>

#include "base/fs.h"
#include "base/paths.h"
#include "base/sha256.h"
#include "base/text.h"
#include "install/caller.h"
#include "install/config_file.h"
#include "install/diff.h"
#include "install/json_edit.h"
#include "install/record.h"

namespace trivet {

namespace {

using install::File;
using install::Record;
using install::RecordPlace;
using install::Registration;

// The names by which trivet-oci knows what it shall make of a container.
struct Link {
  const char* handler;
  const char* name;
};
constexpr Link kLinks[] = {{"trivet-microvm", "krun"}, {"trivet-wasm", "crun-wasm"}};

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

InstallOptions with_defaults(InstallOptions options) {
  if (options.config.empty()) {
    options.config = install::default_config_file(options.caller, options.for_user);
  }
  if (options.data_dir.empty()) options.data_dir = default_data_dir();
  return options;
}

Result<RuntimeChoice> runtime_for(const InstallOptions& options) {
  if (options.runtime.empty()) {
    auto choice = choose_runtime();
    if (choice) return choice;
    return std::unexpected(
        std::move(choice).error().hint("`--runtime PATH` registers a program without trying it"));
  }
  if (!options.runtime.starts_with('/') || access(options.runtime.c_str(), X_OK) != 0) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no absolute path of a program",
                options.runtime);
  }
  return RuntimeChoice{base_name(options.runtime), options.runtime, {}};
}

// Others than trivet-oci make no microVMs and run no WebAssembly.
Registration registration_for(const RuntimeChoice& choice, const InstallOptions& options,
                              const RecordPlace& place) {
  Registration registration{.handlers = {{"trivet", choice.path}},
                            .as_default = options.as_default};
  if (choice.name != "trivet-oci") return registration;
  for (const Link& link : kLinks) {
    registration.handlers.push_back({link.handler, place.links + "/" + link.name});
  }
  for (const char* other : {"/usr/bin/crun", "/usr/sbin/runc"}) {
    if (exists(other)) registration.fallbacks.emplace_back(other);
  }
  return registration;
}

std::vector<std::string> warnings_about(const RuntimeChoice& choice) {
  if (choice.passed_over.empty()) return {};
  std::vector<std::string> warnings;
  warnings.push_back(
      fmt::format("{} takes the place of trivet-oci, which can't be used on this "
                  "host; there are no handlers for microVMs and WebAssembly",
                  choice.path));
  for (const std::string& reason : choice.passed_over) warnings.push_back(reason);
  return warnings;
}

std::vector<LinkChange> missing_links(const Registration& registration, const RecordPlace& place,
                                      const std::string& program) {
  std::vector<LinkChange> links;
  if (registration.handlers.size() == 1) return links;
  for (const Link& link : kLinks) {
    const std::string path = place.links + "/" + link.name;
    std::string target(program.size() + 1, '\0');
    const ssize_t length = readlink(path.c_str(), target.data(), target.size());
    target.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
    if (target != program) links.push_back({path, program});
  }
  return links;
}

Result<std::string> add_entries(const InstallOptions& options, const File& file,
                                const Registration& registration) {
  switch (options.caller) {
    case Caller::kDocker:
      return install::add_docker(file, registration);
    case Caller::kPodman:
      return install::add_podman(file, registration,
                                 TRY(install::read_podman_lists(file.path, options.for_user)));
    case Caller::kContainerd:
      return install::add_containerd(file, registration);
    case Caller::kCrio:
      break;
  }
  return install::add_crio(file, registration);
}

Result<std::string> remove_entries(Caller caller, const File& file, const Record& record) {
  const std::string before = record.before.value_or("");
  if (caller == Caller::kDocker) return install::remove_docker(file, record.registration, before);
  if (caller == Caller::kContainerd) {
    return install::remove_containerd(file, record.registration, before);
  }
  return install::remove_drop_in(file);
}

bool says_nothing(const std::string& text) {
  std::string bare = text;
  std::erase_if(bare, [](char byte) { return byte == ' ' || byte == '\n' || byte == '\t'; });
  return bare.empty() || bare == "{}";
}

// The file without what the record says was put in.
Result<std::optional<std::string>> undone(Caller caller, const Record& record,
                                          const std::optional<std::string>& text) {
  if (!text || text == record.before) return text;
  if (sha256_of(*text) == record.after_digest) return record.before;
  std::string rest = TRY(remove_entries(caller, {record.file, *text}, record));
  if (!record.before && says_nothing(rest)) return std::nullopt;
  return rest;
}

// Links are for all callers: they go with the last one.
std::vector<LinkChange> unused_links(const RecordPlace& place) {
  const auto names = list_dir(AT_FDCWD, place.folder);
  const auto is_record = [](const std::string& name) { return name.ends_with(".json"); };
  std::vector<LinkChange> links;
  if (!names || std::ranges::count_if(*names, is_record) > 1) return links;
  for (const Link& link : kLinks) {
    const std::string path = place.links + "/" + link.name;
    struct stat status{};
    if (lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) links.push_back({path, ""});
  }
  return links;
}

}  // namespace

std::string InstallPlan::diff() const {
  const std::string none = "/dev/null";
  std::string text = install::unified_diff(
      {file.before ? file.path : none, file.before ? std::string_view(*file.before) : ""},
      {file.after ? file.path : none, file.after ? std::string_view(*file.after) : ""});
  for (const LinkChange& link : links) {
    text += removes ? fmt::format("remove the link {}\n", link.path)
                    : fmt::format("link {} -> {}\n", link.path, link.target);
  }
  return text;
}

Result<InstallPlan> plan_install(const InstallOptions& given) {
  InstallPlan plan{.caller = given.caller, .options = with_defaults(given)};
  plan.file.path = plan.options.config;
  plan.file.before = TRY(install::read_config_file(plan.file.path));
  TRY(install::check_writable(plan.file.path));
  const RecordPlace place =
      install::record_place(plan.options.data_dir, plan.caller, plan.file.path);
  const auto record = TRY(install::read_record(place));
  plan.original = record ? TRY(undone(plan.caller, *record, plan.file.before)) : plan.file.before;
  // A broken file is told of before runtimes are tried, which takes longer.
  const RuntimeChoice choice = TRY(runtime_for(plan.options));
  const Registration registration = registration_for(choice, plan.options, place);
  plan.file.after =
      TRY(add_entries(plan.options, {plan.file.path, plan.original.value_or("")}, registration));
  plan.handlers = registration.handlers;
  plan.links = missing_links(registration, place, choice.path);
  plan.warnings = warnings_about(choice);
  return plan;
}

Result<InstallPlan> plan_uninstall(const InstallOptions& given) {
  InstallPlan plan{.caller = given.caller, .removes = true, .options = with_defaults(given)};
  plan.file.path = plan.options.config;
  const RecordPlace place =
      install::record_place(plan.options.data_dir, plan.caller, plan.file.path);
  const auto record = TRY(install::read_record(place));
  if (!record) {
    return std::unexpected(
        Error(ErrorCode::kNotFound,
              fmt::format("nothing was registered in \"{}\" from here", plan.file.path))
            .hint(fmt::format("records are kept in {}", place.folder)));
  }
  plan.file.before = TRY(install::read_config_file(plan.file.path));
  TRY(install::check_writable(plan.file.path));
  plan.original = record->before;
  plan.file.after = TRY(undone(plan.caller, *record, plan.file.before));
  plan.handlers = record->registration.handlers;
  plan.links = unused_links(place);
  return plan;
}

}  // namespace trivet
