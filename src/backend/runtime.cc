// Runtime: arguments are checked here, once for every backend.
#include "trivet/runtime.h"

#include <algorithm>

#include "backend/absent.h"

namespace trivet {

namespace {

Result<> check_command(const ExecCommand& command) {
  if (command.argv.empty() || command.argv.front().empty()) {
    return fail(ErrorCode::kInvalidArgument, "there is no command to run");
  }
  for (const std::string& entry : command.env) {
    if (const size_t equals = entry.find('='); equals == std::string::npos || equals == 0) {
      return std::unexpected(Error(ErrorCode::kInvalidArgument,
                                   fmt::format("\"{}\" is no environment variable", entry))
                                 .hint("the form is NAME=VALUE"));
    }
  }
  return {};
}

ByteSink collect(std::string& text, size_t limit) {
  return [&text, limit](std::string_view bytes) -> Result<> {
    if (bytes.size() > limit - text.size()) {
      return std::unexpected(
          Error(ErrorCode::kLimitExceeded, fmt::format("more than {} bytes", limit))
              .hint("raise output_limit, or take the output as a stream: exec_stdio()"));
    }
    text.append(bytes);
    return {};
  };
}

}  // namespace

bool ContainerQuery::matches(std::string_view name) const {
  if (!prefix.empty() && !(name.starts_with(prefix) && name.substr(prefix.size()).starts_with('-')))
    return false;
  return names.empty() || std::ranges::find(names, name) != names.end();
}

Result<std::vector<Container>> Runtime::containers_with_prefix(const std::string& prefix) const {
  if (prefix.empty()) {
    return fail(ErrorCode::kInvalidArgument, "the prefix of containers' names is empty");
  }
  std::vector<Container> containers;
  for (ContainerInfo& info : TRY(list({.prefix = prefix}))) {
    containers.push_back(container(std::move(info.name)));
  }
  return containers;
}

Result<std::vector<ContainerInfo>> Runtime::list(const ContainerQuery& query) const {
  return backend_->list(query);
}

Result<std::vector<Image>> Runtime::images(bool dangling_only) const {
  std::vector<Image> images;
  for (const ImageInfo& info : TRY(backend_->list_images())) {
    if (info.names.empty()) images.push_back(image(info.id));
    if (dangling_only) continue;
    for (const std::string& name : info.names) images.push_back(image(name));
  }
  return images;
}

Result<Container> Runtime::create(const RunOptions& options) const {
  return container(TRY(backend_->create(options)));
}

Result<Container> Runtime::run(const RunOptions& options) const {
  return container(TRY(backend_->run(options)));
}

Result<ExecResult> Runtime::exec(const Container& container, std::vector<std::string> argv,
                                 std::optional<std::chrono::milliseconds> timeout) const {
  return exec(container, {.argv = std::move(argv), .timeout = timeout});
}

Result<ExecResult> Runtime::exec(const Container& container, const ExecCommand& command) const {
  ExecResult result;
  const ExecStdio stdio{.stdin = {},
                        .stdout = collect(result.stdout, command.output_limit),
                        .stderr = collect(result.stderr, command.output_limit)};
  result.exit_code = TRY(exec_stdio(container, command, stdio));
  return result;
}

Result<int> Runtime::exec_stdio(const Container& container, const ExecCommand& command,
                                const ExecStdio& stdio) const {
  TRY_IN(check_command(command), "container \"{}\"", container.name());
  return TRY_IN(backend_->exec(container.name(), command, stdio), "container \"{}\"",
                container.name());
}

std::vector<RemoveResult> Runtime::force_remove(const std::vector<Container>& containers) const {
  std::vector<RemoveResult> results;
  for (const Container& container : containers) {
    auto removed = container.remove(Force::kYes);
    RemoveResult result{.name = container.name(), .removed = removed.has_value(), .error = {}};
    if (!removed) result.error = std::move(removed.error());
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace trivet
