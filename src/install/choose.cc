// Which runtime works here: a container is run by it.
#include <array>
#include <cstdlib>

#include "base/fs.h"
#include "base/json.h"
#include "base/paths.h"
#include "base/process.h"
#include "base/text.h"
#include "trivet/install.h"

namespace trivet {

namespace {

constexpr std::chrono::seconds kPatience{20};
// Of trivet-init when it is given no program. Runtimes that fail themselves end with other ones.
constexpr int kProofOfLife = 125;

std::string find_in_path(const std::string& name) {
  const char* variable = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
  std::vector<std::string> folders = split(variable == nullptr ? "" : variable, ':');
  // runc is for root alone, whose PATH has these; sudo's may not.
  for (const char* folder : {"/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"}) {
    folders.emplace_back(folder);
  }
  for (const std::string& folder : folders) {
    const std::string path = folder + "/" + name;
    if (folder.starts_with('/') && access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

std::string find_runtime(const std::string& candidate) {
  if (candidate.starts_with('/')) return access(candidate.c_str(), X_OK) == 0 ? candidate : "";
  std::string path = find_companion(candidate);
  if (path.empty()) return find_in_path(candidate);
  return normalized_path(path);
}

// A directory that is removed with what is in it.
class Scratch {
 public:
  static Result<Scratch> make() {
    // Not /run and /tmp, from which programs may not be executed on some hosts.
    std::string path = "/var/tmp/trivet-trial-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return fail_errno("make directory \"{}\"", path);
    return Scratch(std::move(path));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch() {
    if (!path_.empty()) (void)remove_tree(AT_FDCWD, path_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

Json trial_config() {
  Json config;
  config["ociVersion"] = "1.0.2";
  config["process"] = {{"user", {{"uid", 0}, {"gid", 0}}},
                       {"args", {"/init"}},
                       {"env", {"PATH=/"}},
                       {"cwd", "/"},
                       {"noNewPrivileges", true}};
  config["root"] = {{"path", "root"}, {"readonly", true}};
  config["mounts"] =
      Json::array({{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}}});
  Json namespaces = Json::array();
  for (const char* type : {"pid", "mount", "ipc", "uts", "network"}) {
    namespaces.push_back({{"type", type}});
  }
  config["linux"] = {{"namespaces", namespaces}};
  return config;
}

Result<Scratch> make_trial_bundle() {
  const std::string program = find_companion("trivet-init");
  if (program.empty()) return fail(ErrorCode::kNotFound, "trivet-init is not installed");
  Scratch scratch = TRY(Scratch::make());
  const std::string root = scratch.path() + "/root";
  TRY(make_dirs(root + "/proc"));
  TRY(make_dirs(root + "/dev"));
  TRY(make_dirs(root + "/sys"));
  TRY(replace_file(AT_FDCWD, root + "/init", TRY(read_file(program)), 0755));
  TRY(replace_file(AT_FDCWD, scratch.path() + "/config.json", trial_config().dump()));
  return scratch;
}

std::string last_line(const std::string& text) {
  const std::string_view trimmed = trim(text);
  return std::string(trimmed.substr(trimmed.rfind('\n') + 1));
}

// Runs a container to its end; an error says what was wrong.
Result<> try_container(const std::string& path) {
  const Scratch bundle = TRY(make_trial_bundle());
  const std::string id = "trivet-trial-" + random_hex(4);
  const std::vector<std::string> runtime{path, "--root", bundle.path() + "/state"};
  const auto with = [&](std::vector<std::string> words) {
    words.insert(words.begin(), runtime.begin(), runtime.end());
    return words;
  };
  const auto output = run_program(with({"run", "--bundle", bundle.path(), id}),
                                  {.stdin_text = {}, .environment = {}, .timeout = kPatience});
  if (output && output->exit_code == kProofOfLife) return {};
  (void)run_program(with({"delete", "--force", id}),
                    {.stdin_text = {}, .environment = {}, .timeout = kPatience});
  if (!output) return std::unexpected(output.error());
  return fail(ErrorCode::kUnsupported, "a container could not be run: exit code {}: {}",
              output->exit_code, last_line(output->stderr_text));
}

Result<> try_start(const std::string& path) {
  const Output output = TRY(run_program({path, "--version"}));
  if (output.ok()) return {};
  return fail(ErrorCode::kUnsupported, "exit code {}: {}", output.exit_code,
              last_line(output.stderr_text));
}

Result<std::string> try_runtime(const std::string& candidate) {
  std::string path = find_runtime(candidate);
  if (path.empty()) return fail(ErrorCode::kNotFound, "not installed");
  TRY(geteuid() == 0 ? try_container(path) : try_start(path));
  return path;
}

}  // namespace

Result<RuntimeChoice> choose_runtime(const std::vector<std::string>& candidates) {
  const std::vector<std::string> usual{"trivet-oci", "crun", "runc"};
  RuntimeChoice choice;
  for (const std::string& candidate : candidates.empty() ? usual : candidates) {
    auto path = try_runtime(candidate);
    if (path) {
      choice.name = path->substr(path->rfind('/') + 1);
      choice.path = *path;
      return choice;
    }
    choice.passed_over.push_back(fmt::format("{}: {}", candidate, path.error().message()));
  }
  Error error(ErrorCode::kNotFound, "no runtime works on this host");
  for (const std::string& reason : choice.passed_over) {
    error = std::move(error).note({ErrorCode::kUnsupported, reason});
  }
  return std::unexpected(std::move(error));
}

}  // namespace trivet
