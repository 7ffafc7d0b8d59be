// `podman logs --timestamps` as log lines.
#pragma once

#include <memory>
#include <string>

#include "backend/podman_cli.h"

namespace trivet::backend {

std::unique_ptr<LogSource> follow_podman_log(std::shared_ptr<const PodmanCli> cli,
                                             const std::string& container,
                                             const LogOptions& options);

// One line as podman prints it, "TIME TEXT". A line without a time gets none and is text whole.
[[nodiscard]] LogLine parse_podman_log_line(std::string_view line, LogLine::Stream stream);

}  // namespace trivet::backend
