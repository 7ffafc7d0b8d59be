// Paths as text, and where trivet keeps its things.
#pragma once

#include <string>
#include <string_view>

namespace trivet {

// As root: state /run/trivet, data /var/lib/trivet, configuration /etc/trivet. Otherwise
// $XDG_RUNTIME_DIR/trivet, $XDG_DATA_HOME/trivet (~/.local/share) and $XDG_CONFIG_HOME/trivet
// (~/.config). TRIVET_STATE_DIR and TRIVET_DATA_DIR override the first two. The state of a user who
// has become root of a user namespace, as podman does it, is that user's still.
[[nodiscard]] std::string default_state_dir();
[[nodiscard]] std::string default_data_dir();
[[nodiscard]] std::string default_config_dir();

// A program of trivet's own, such as trivet-monitor: see docs/decisions/019 for where it is looked
// for, and TRIVET_LIBEXEC_DIR. Empty when it is nowhere.
[[nodiscard]] std::string find_companion(const std::string& program);

// Lexically below "/": "." and ".." and doubled slashes are resolved; a relative one starts at "/".
[[nodiscard]] std::string normalized_path(std::string_view path);

// Of two normalized paths: whether `path` is in `directory`, at whatever depth. A directory is not
// in itself.
[[nodiscard]] bool is_below(std::string_view path, std::string_view directory);

}  // namespace trivet
