// The program of a container: what is executed, as whom, with which environment.
#include <algorithm>
#include <limits>

#include "linux/capabilities.h"
#include "oci/process_text.h"
#include "runtime/plan.h"

namespace trivet::runtime {

namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* kInitPath = "/dev/init";

std::string_view env_name(std::string_view entry) {
  return entry.substr(0, entry.find('='));
}

bool has_env(const std::vector<std::string>& env, std::string_view name) {
  return std::ranges::any_of(env, [&](const std::string& e) { return env_name(e) == name; });
}

Result<std::vector<std::string>> plan_args(const PlanInput& input) {
  const RunOptions& options = input.options;
  const image::ImageDefaults& defaults = input.root.defaults;
  std::vector<std::string> args = options.entrypoint.value_or(defaults.entrypoint);
  // A new entrypoint makes the image's CMD meaningless (Docker's rule).
  const bool use_cmd = options.command.empty() && !options.entrypoint;
  const std::vector<std::string>& rest = use_cmd ? defaults.cmd : options.command;
  args.insert(args.end(), rest.begin(), rest.end());
  if (args.empty() || args.front().empty()) {
    return std::unexpected(Error(ErrorCode::kInvalidArgument, "there is no command to run")
                               .hint("give one after the image: trivet run IMAGE COMMAND"));
  }
  if (!options.init) return args;
  if (input.host.init_program.empty()) {
    return fail(ErrorCode::kUnsupported, "--init: the program trivet-init is not installed");
  }
  args.insert(args.begin(), {kInitPath, "--"});
  return args;
}

Result<std::vector<std::string>> plan_env(const PlanInput& input, const std::string& hostname) {
  const RunOptions& options = input.options;
  const EnvironmentLookup& lookup = input.host.environment;
  std::vector<std::string> env = {fmt::format("PATH={}", kDefaultPath),
                                  fmt::format("HOSTNAME={}", hostname), "container=trivet"};
  if (options.terminal) env.emplace_back("TERM=xterm");
  merge_env(env, input.root.defaults.env, lookup);
  for (const std::string& file : options.env_files) {
    const std::string content = TRY_IN(input.host.read_file(file), "--env-file");
    merge_env(env, TRY_IN(parse_env_file(content), "--env-file \"{}\"", file), lookup);
  }
  for (const std::string& entry : options.env) {
    if (env_name(entry).empty() || entry.find('\0') != std::string::npos) {
      return fail(ErrorCode::kInvalidArgument, "-e \"{}\": an environment variable needs a name",
                  entry);
    }
  }
  merge_env(env, options.env, lookup);
  if (!has_env(env, "HOME")) env.push_back(fmt::format("HOME={}", input.root.home));
  return env;
}

Result<oci::Capabilities> plan_capabilities(const PlanInput& input, uint32_t uid) {
  const RunOptions& options = input.options;
  const std::vector<std::string>& base =
      options.privileged ? caps::all_capabilities() : caps::default_capabilities();
  oci::Capabilities capabilities;
  capabilities.bounding =
      TRY_IN(caps::adjust(base, options.cap_add, options.cap_drop), "capabilities");
  // What execve(2) gives to a user that is not root: nothing.
  if (uid == 0) capabilities.effective = capabilities.permitted = capabilities.bounding;
  return capabilities;
}

Result<std::string> plan_cwd(const PlanInput& input) {
  if (!input.options.workdir.empty()) {
    return TRY_IN(normal_path(input.options.workdir), "--workdir");
  }
  const std::string& from_image = input.root.defaults.working_dir;
  if (from_image.empty()) return std::string("/");
  // Docker takes relative ones as being below "/".
  return normal_path(from_image.front() == '/' ? from_image : "/" + from_image);
}

Result<uint64_t> parse_rlimit_value(std::string_view text) {
  if (text == "unlimited" || text == "-1") return std::numeric_limits<uint64_t>::max();
  const int64_t value = TRY(parse_int(text));
  if (value < 0) return fail(ErrorCode::kInvalidArgument, "{} is negative", value);
  return static_cast<uint64_t>(value);
}

const std::vector<std::string> kRlimitNames = {
    "as",   "core",   "cpu",   "data", "fsize",  "locks",  "memlock",    "msgqueue",
    "nice", "nofile", "nproc", "rss",  "rtprio", "rttime", "sigpending", "stack"};

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

// Of an ordinary user without subordinate ids, in whose namespace there is no id but root's. Nobody
// could be put into further groups there.
Result<> fit_into_one_id(oci::User& user) {
  if (user.uid != 0 || user.gid != 0) {
    return std::unexpected(
        Error(ErrorCode::kUnsupported,
              fmt::format(
                  "user {}:{}: this user has no subordinate ids, so programs run as root only",
                  user.uid, user.gid))
            .hint("an entry in /etc/subuid and /etc/subgid and Debian's package uidmap give more; "
                  "or use -u 0"));
  }
  user.additional_gids.clear();
  return {};
}

}  // namespace

Result<oci::Rlimit> parse_ulimit(std::string_view text) {
  const size_t equals = text.find('=');
  std::string name(text.substr(0, equals));
  if (upper(name).starts_with("RLIMIT_")) name.erase(0, 7);
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (std::ranges::find(kRlimitNames, name) == kRlimitNames.end()) {
    return std::unexpected(
        Error(ErrorCode::kInvalidArgument, fmt::format("--ulimit \"{}\": unknown limit", text))
            .hint(fmt::format("known are {}", join(kRlimitNames, ", "))));
  }
  if (equals == std::string_view::npos) {
    return fail(ErrorCode::kInvalidArgument, "--ulimit \"{}\": expected NAME=SOFT[:HARD]", text);
  }
  const std::vector<std::string> values = split(text.substr(equals + 1), ':');
  if (values.size() > 2) {
    return fail(ErrorCode::kInvalidArgument, "--ulimit \"{}\": expected NAME=SOFT[:HARD]", text);
  }
  oci::Rlimit limit{.type = "RLIMIT_" + upper(name)};
  limit.soft = TRY_IN(parse_rlimit_value(values.front()), "--ulimit \"{}\"", text);
  limit.hard = TRY_IN(parse_rlimit_value(values.back()), "--ulimit \"{}\"", text);
  if (limit.soft > limit.hard) {
    return fail(ErrorCode::kInvalidArgument, "--ulimit \"{}\": the soft limit is over the hard one",
                text);
  }
  return limit;
}

Result<std::vector<std::string>> parse_env_file(std::string_view content) {
  std::vector<std::string> entries;
  for (const std::string& raw : split(content, '\n')) {
    std::string_view line = raw;
    if (line.ends_with('\r')) line.remove_suffix(1);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::string_view name = env_name(line);
    if (name.empty() || name.find_first_of(" \t") != std::string_view::npos) {
      return fail(ErrorCode::kInvalidArgument, "\"{}\" is no NAME=VALUE", line);
    }
    entries.emplace_back(line);
  }
  return entries;
}

void merge_env(std::vector<std::string>& target, const std::vector<std::string>& env,
               const EnvironmentLookup& lookup) {
  for (const std::string& entry : env) {
    const std::string name(env_name(entry));
    std::optional<std::string> value = entry;
    if (name.size() == entry.size()) {
      value = lookup(name);
      if (value) value = fmt::format("{}={}", name, *value);
    }
    const auto same = [&](const std::string& other) { return env_name(other) == name; };
    const auto found = std::ranges::find_if(target, same);
    if (!value) {
      if (found != target.end()) target.erase(found);
    } else if (found != target.end()) {
      *found = std::move(*value);
    } else {
      target.push_back(std::move(*value));
    }
  }
}

Result<oci::Process> plan_process(const PlanInput& input, const std::string& hostname) {
  oci::Process process;
  process.terminal = input.options.terminal;
  process.args = TRY(plan_args(input));
  process.env = TRY(plan_env(input, hostname));
  TRY(oci::require_utf8(process));
  process.cwd = TRY(plan_cwd(input));
  process.user = input.root.user;
  if (input.host.one_id && input.options.isolation != "microvm") TRY(fit_into_one_id(process.user));
  process.capabilities = TRY(plan_capabilities(input, process.user.uid));
  for (const std::string& text : input.options.ulimits) {
    oci::Rlimit limit = TRY(parse_ulimit(text));
    std::erase_if(process.rlimits, [&](const oci::Rlimit& l) { return l.type == limit.type; });
    process.rlimits.push_back(std::move(limit));
  }
  if (const auto score = input.options.oom_score_adj) {
    if (*score < -1000 || *score > 1000) {
      return fail(ErrorCode::kInvalidArgument, "--oom-score-adj {}: it is -1000 to 1000", *score);
    }
    process.oom_score_adj = score;
  }
  return process;
}

}  // namespace trivet::runtime
