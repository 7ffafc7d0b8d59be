// The programs that use a runtime: where each keeps its configuration, and how an entry gets into
// the text of it and out again. What changes texts is pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trivet/install.h"

namespace trivet::install {

struct Registration {
  std::vector<Handler> handlers;  // the first one is the default
  bool as_default = false;
  // Podman only: paths for the first handler's name where its program is gone one day.
  std::vector<std::string> fallbacks;
};

struct File {
  std::string path;  // for errors
  std::string text;  // empty when there is none
};

// What podman's other files say, which a drop-in's lists take the place of.
struct PodmanLists {
  std::vector<std::string> json;
  std::vector<std::string> kvm;
  std::vector<std::string> no_cgroups;
};

// `add_…`: the text with the entries. kAlreadyExists when a handler's name stands for something
// else. `remove_…`: the text without them; what the default was comes from `before`, the text that
// add_… was given.
Result<std::string> add_docker(const File& file, const Registration& registration);
Result<std::string> remove_docker(const File& file, const Registration& registration,
                                  const std::string& before);

Result<std::string> add_containerd(const File& file, const Registration& registration);
Result<std::string> remove_containerd(const File& file, const Registration& registration,
                                      const std::string& before);

Result<std::string> add_podman(const File& file, const Registration& registration,
                               const PodmanLists& lists);
Result<std::string> add_crio(const File& file, const Registration& registration);
// Of both: their file is a drop-in, in which there is nothing but trivet's block, unless somebody
// has added to it.
Result<std::string> remove_drop_in(const File& file);

// /etc/docker/daemon.json and the like; of podman, for the user's own, below XDG_CONFIG_HOME.
std::string default_config_file(Caller caller, bool for_user);
// What is in effect beside the drop-in `drop_in`: podman's own lists, then those of its files.
Result<PodmanLists> read_podman_lists(const std::string& drop_in, bool for_user);

}  // namespace trivet::install
