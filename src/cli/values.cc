#include "cli/values.h"

#include <charconv>
#include <cmath>

#include "base/fs.h"
#include "base/json.h"

namespace trivet::cli {

namespace {

std::unexpected<Error> wrong(std::string message, std::string hint) {
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, std::move(message)).hint(std::move(hint)));
}

constexpr const char* kMountHint =
    "write type=bind,source=/host,target=/inside[,readonly], "
    "type=volume,source=name,target=/inside or type=tmpfs,target=/inside[,tmpfs-size=64m]";

// A flag of --mount: present, or with a value that says so.
Result<bool> parse_switch(std::string_view key, std::string_view value) {
  if (value.empty() || value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  return wrong(fmt::format("\"{}\" of {} is neither true nor false", value, key), kMountHint);
}

Result<> store_mount_field(MountOption& mount, const std::string& key, const std::string& value) {
  if (key == "type") {
    mount.type = value;
  } else if (key == "source" || key == "src") {
    mount.source = value;
  } else if (key == "target" || key == "dst" || key == "destination") {
    mount.destination = value;
  } else if (key == "readonly" || key == "ro") {
    mount.options.emplace_back(TRY(parse_switch(key, value)) ? "ro" : "rw");
  } else if (key == "rw") {
    mount.options.emplace_back(TRY(parse_switch(key, value)) ? "rw" : "ro");
  } else if (key == "bind-propagation") {
    mount.options.push_back(value);
  } else if (key == "bind-nonrecursive") {
    mount.options.emplace_back(TRY(parse_switch(key, value)) ? "bind" : "rbind");
  } else if (key == "tmpfs-size" || key == "tmpfs-mode") {
    mount.options.push_back(key.substr(6) + "=" + value);
  } else if (key == "relabel") {
    mount.options.emplace_back(value == "private" ? "Z" : "z");
  } else if (key == "volume-subpath") {
    mount.sub_path = value;
  } else if (key == "volume-nocopy") {
    if (TRY(parse_switch(key, value))) mount.options.emplace_back("nocopy");
  } else {
    return wrong(fmt::format("mount: unknown field \"{}\"", key), kMountHint);
  }
  return {};
}

Result<double> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
    return wrong(fmt::format("\"{}\" is not a number", text), "write it like 1.5");
  }
  return value;
}

}  // namespace

Result<MountOption> parse_mount(std::string_view text) {
  MountOption mount;
  mount.type = "volume";
  for (const std::string& field : split(text, ',')) {
    const size_t equals = field.find('=');
    const std::string value = equals == std::string::npos ? "" : field.substr(equals + 1);
    TRY(store_mount_field(mount, field.substr(0, equals), value));
  }
  if (mount.type != "bind" && mount.type != "volume" && mount.type != "tmpfs") {
    return wrong(fmt::format("mount: unknown type \"{}\"", mount.type), kMountHint);
  }
  if (mount.destination.empty()) return wrong("mount: there is no target", kMountHint);
  if (mount.type == "bind" && mount.source.empty()) {
    return wrong("mount: a bind mount needs a source", kMountHint);
  }
  return mount;
}

Result<RestartPolicy> parse_restart(std::string_view text) {
  using Kind = RestartPolicy::Kind;
  constexpr std::string_view kOnFailure = "on-failure";
  if (text == "no") return RestartPolicy{};
  if (text == "always") return RestartPolicy{.kind = Kind::kAlways};
  if (text == "unless-stopped") return RestartPolicy{.kind = Kind::kUnlessStopped};
  if (text == kOnFailure) return RestartPolicy{.kind = Kind::kOnFailure};
  if (text.starts_with("on-failure:")) {
    const auto retries = parse_int(text.substr(kOnFailure.size() + 1));
    if (retries && *retries >= 0 && *retries <= 1000000) {
      return RestartPolicy{.kind = Kind::kOnFailure, .max_retries = static_cast<int>(*retries)};
    }
  }
  return wrong(fmt::format("unknown restart policy \"{}\"", text),
               "use no, always, unless-stopped, on-failure or on-failure:N");
}

Result<CpuTime> parse_cpus(std::string_view text) {
  const double cpus = TRY(parse_number(text));
  CpuTime time;
  if (cpus < 0 || cpus > 100000) {
    return wrong(fmt::format("\"{}\" is not a number of CPUs", text), "write it like 0.5 or 2");
  }
  if (cpus > 0) {
    time.quota = std::llround(cpus * static_cast<double>(time.period));
    // The kernel takes 1 ms at least (cpu.cfs_quota_us(7) and cgroup v2's cpu.max).
    if (*time.quota < 1000) {
      return wrong(fmt::format("{} CPUs is too little", text), "the least is 0.01");
    }
  }
  return time;
}

Result<CpuTime> parse_cpu_max(std::string_view text) {
  constexpr const char* kHint = "write QUOTA and PERIOD in microseconds: \"50000 100000\"";
  std::vector<std::string> words;
  for (const std::string& word : split(trim(text), ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  if (words.empty() || words.size() > 2) {
    return wrong(fmt::format("\"{}\" is not a quota and a period", text), kHint);
  }
  CpuTime time;
  if (words.size() == 2) {
    const auto period = parse_int(words[1]);
    if (!period || *period < 1000 || *period > 1000000) {
      return wrong(fmt::format("\"{}\" is not a period from 1000 to 1000000", words[1]), kHint);
    }
    time.period = static_cast<uint64_t>(*period);
  }
  if (words[0] == "max") return time;
  const auto quota = parse_int(words[0]);
  if (!quota || *quota < 1000) {
    return wrong(fmt::format("\"{}\" is neither a quota of at least 1000 nor max", words[0]),
                 kHint);
  }
  time.quota = *quota;
  return time;
}

Result<std::optional<int64_t>> parse_limit(std::string_view text) {
  const int64_t bytes = TRY(parse_size(text));
  return bytes == 0 ? std::nullopt : std::optional(bytes);
}

Result<std::optional<int64_t>> parse_swap_limit(std::string_view text) {
  if (text == "-1") return -1;
  return parse_limit(text);
}

Result<std::optional<int64_t>> parse_pids_limit(std::string_view text) {
  const int64_t count = TRY(parse_int(text));
  if (count < -1) {
    return wrong(fmt::format("\"{}\" is not a number of processes", text),
                 "use -1 or 0 for no limit");
  }
  return count <= 0 ? std::nullopt : std::optional(count);
}

Result<std::pair<std::string, std::string>> parse_pair(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view key = text.substr(0, equals);
  if (key.empty()) return wrong(fmt::format("\"{}\" has no name", text), "write NAME=VALUE");
  return std::pair(std::string(key), equals == std::string_view::npos
                                         ? std::string()
                                         : std::string(text.substr(equals + 1)));
}

Result<std::vector<std::string>> parse_entrypoint(const std::string& text) {
  if (text.empty()) return std::vector<std::string>{};
  if (!text.starts_with('[')) return std::vector{text};
  const Json array = TRY(parse_json(text, "entrypoint"));
  std::vector<std::string> words;
  for (const JsonView& element : TRY(JsonView(array, "entrypoint").elements())) {
    words.push_back(TRY(element.as_string()));
  }
  return words;
}

Result<Timestamp> parse_moment(std::string_view text) {
  if (text.size() == 10 && text[4] == '-' && text[7] == '-') {
    return parse_timestamp(std::string(text) + "T00:00:00Z");
  }
  if (parse_int(text) || text.find('T') != std::string_view::npos) return parse_timestamp(text);
  const auto age = parse_duration(text);
  if (!age) {
    return wrong(fmt::format("\"{}\" is neither a time nor a duration", text),
                 "write 10m, 2026-01-02T03:04:05Z, or seconds since 1970");
  }
  return std::chrono::system_clock::now() - *age;
}

Result<std::vector<std::string>> read_env_file(const std::string& path) {
  constexpr size_t kLimit = 1U << 20U;
  std::vector<std::string> variables;
  for (const std::string& line : split(TRY_IN(read_file(path, kLimit), "environment file"), '\n')) {
    const std::string_view text = trim(line);
    if (text.empty() || text.starts_with('#')) continue;
    if (text.starts_with('=')) {
      return wrong(fmt::format("environment file \"{}\": \"{}\" has no name", path, text),
                   "write NAME=VALUE");
    }
    variables.emplace_back(line.substr(line.find_first_not_of(" \t")));
  }
  return variables;
}

}  // namespace trivet::cli
