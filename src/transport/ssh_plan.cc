#include "transport/ssh_plan.h"

#include <algorithm>

#include "transport/ssh_endpoint.h"

namespace trivet::transport {

namespace {

// ssh expands "%", "~" and "${…}" in the names of files and splits them at blanks. Quotes and the
// doubled percent sign take care of most; what they can't hold is refused.
Result<> check_path(const std::string& path, std::string_view what) {
  const bool bad = std::ranges::any_of(path, [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '"' || c == '\\' || c == '$';
  });
  if (path.starts_with('/') && !bad) return {};
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("{} \"{}\" can't be given to ssh", what, path))
          .hint("it has to be an absolute path without quotes, \\, $ and control characters"));
}

std::string path_value(const std::string& path) {
  std::string value = "\"";
  for (const char c : path) value += c == '%' ? std::string("%%") : std::string(1, c);
  return value + "\"";
}

std::string_view policy_name(SshHostKeys policy) {
  switch (policy) {
    case SshHostKeys::kAcceptNew:
      return "accept-new";
    case SshHostKeys::kUnchecked:
      return "no";
    case SshHostKeys::kKnown:
      break;
  }
  return "yes";
}

// All that ssh would otherwise take from elsewhere: the user's and the system's configuration
// (-F none), the user's agent and keys, files of known hosts; and what it could be talked into
// forwarding.
constexpr const char* kSettings[] = {
    "BatchMode=yes",
    "PreferredAuthentications=publickey",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "CertificateFile=none",
    "AddKeysToAgent=no",
    "PKCS11Provider=none",
    "GlobalKnownHostsFile=/dev/null",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "CheckHostIP=no",
    "CanonicalizeHostname=no",
    "ProxyCommand=none",
    "ProxyJump=none",
    "ControlMaster=no",
    "ControlPath=none",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "PermitLocalCommand=no",
    "EscapeChar=none",
    "ConnectionAttempts=1",
    // A guest that has vanished without a word is noticed after a minute.
    "ServerAliveInterval=20",
    "ServerAliveCountMax=3",
};

}  // namespace

Result<> check_options(const SshOptions& options) {
  if (!options.endpoint) {
    return fail(ErrorCode::kInvalidArgument, "an SSH transport needs a function for its endpoint");
  }
  TRY(check_path(options.identity_file, "identity file"));
  if (options.host_keys != SshHostKeys::kUnchecked) {
    TRY(check_path(options.known_hosts, "file of known hosts"));
  }
  TRY_IN(check_endpoint({.host = options.host_key_alias, .port = 1}, SshReach::kAnyHost),
         "alias of the host key");
  TRY(check_user(options.user));
  if (!options.workdir.starts_with('/')) {
    return fail(ErrorCode::kInvalidArgument, "the working directory \"{}\" is not absolute",
                options.workdir);
  }
  if (options.program.empty() || options.connect_timeout <= std::chrono::seconds(0)) {
    return fail(ErrorCode::kInvalidArgument,
                "an SSH transport needs a program and a time limit to connect");
  }
  return {};
}

std::vector<std::string> ssh_argv(const SshOptions& options, const SshEndpoint& endpoint,
                                  const std::string& user, Terminal terminal,
                                  const std::string& log_file, const std::string& text) {
  std::vector<std::string> argv{options.program, "-F", "none"};
  const auto set = [&argv](std::string setting) {
    argv.emplace_back("-o");
    argv.push_back(std::move(setting));
  };
  for (const char* setting : kSettings) set(setting);
  const bool checked = options.host_keys != SshHostKeys::kUnchecked;
  set(fmt::format("IdentityFile={}", path_value(options.identity_file)));
  set(fmt::format("StrictHostKeyChecking={}", policy_name(options.host_keys)));
  set(fmt::format("UserKnownHostsFile={}",
                  checked ? path_value(options.known_hosts) : "/dev/null"));
  set(fmt::format("HostKeyAlias={}", options.host_key_alias));
  set(fmt::format("ConnectTimeout={}", options.connect_timeout.count()));
  if (terminal == Terminal::kYes) {
    set("LogLevel=ERROR");
    argv.emplace_back("-tt");
  } else {
    // Of the levels the first one that says with which status a command has ended.
    set("LogLevel=DEBUG1");
    argv.insert(argv.end(), {"-T", "-E", log_file});
  }
  // What follows "--" is no option, whatever it begins with.
  argv.insert(argv.end(),
              {"-l", user, "-p", fmt::format("{}", endpoint.port), "--", endpoint.host, text});
  return argv;
}

}  // namespace trivet::transport
