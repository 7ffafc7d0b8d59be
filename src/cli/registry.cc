#include "cli/registry.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/commands_device.h"
#include "cli/commands_pool.h"
#include "cli/commands_setup.h"

namespace trivet::cli {

namespace {

constexpr const char* kRun = "Run containers";
constexpr const char* kSee = "See what they do";
constexpr const char* kManage = "Manage containers";
constexpr const char* kImages = "Images";
constexpr const char* kVolumes = "Volumes";
constexpr const char* kPods = "Pods";
constexpr const char* kPools = "Warm pools";
constexpr const char* kVms = "MicroVMs";
constexpr const char* kConfig = "Configuration";
constexpr const char* kHost = "This host";
constexpr const char* kHidden = "";

constexpr std::array kEntries{
    Entry{"run", kRun, "Run a program in a new container", make_run},
    Entry{"create", kRun, "Create a container without starting it", make_create},
    Entry{"start", kRun, "Start created or stopped containers", make_start},
    Entry{"attach", kRun, "Connect to a running container's program", make_attach},
    Entry{"exec", kRun, "Run a further program in a running container", make_exec},

    Entry{"ps", kSee, "List containers", make_ps},
    Entry{"logs", kSee, "Show what a container printed", make_logs},
    Entry{"stats", kSee, "Show what containers use, live", make_stats},
    Entry{"top", kSee, "List the processes of a container", make_top},
    Entry{"port", kSee, "List the published ports of a container", make_port},
    Entry{"inspect", kSee, "Show everything known about containers or images", make_inspect},

    Entry{"stop", kManage, "Ask containers to end, then make them", make_stop},
    Entry{"kill", kManage, "Send a signal to containers", make_kill},
    Entry{"restart", kManage, "Stop containers and start them again", make_restart},
    Entry{"pause", kManage, "Freeze all processes of containers", make_pause},
    Entry{"unpause", kManage, "Let paused containers go on", make_unpause},
    Entry{"wait", kManage, "Wait until containers end and print their exit codes", make_wait},
    Entry{"rename", kManage, "Give a container another name", make_rename},
    Entry{"cp", kManage, "Copy files into or out of a container", make_cp},
    Entry{"rm", kManage, "Remove containers", make_rm},
    Entry{"prune", kManage, "Remove all stopped containers and what crashes left behind",
          make_prune},

    Entry{"pull", kImages, "Fetch an image from a registry", make_pull},
    Entry{"push", kImages, "Send an image to a registry", make_push},
    Entry{"images", kImages, "List images", make_images},
    Entry{"tag", kImages, "Give an image a further name", make_tag},
    Entry{"rmi", kImages, "Remove images", make_rmi},
    Entry{"image ls", kImages, "List images", make_images},
    Entry{"image inspect", kImages, "Show everything known about images", make_image_inspect},
    Entry{"image tag", kImages, "Give an image a further name", make_tag},
    Entry{"image rm", kImages, "Remove images", make_rmi},
    Entry{"image prune", kImages, "Remove images that nothing names or uses", make_image_prune},
    Entry{"image import", kImages, "Take in an image from a file or directory", make_image_import},
    Entry{"image save", kImages, "Write an image to an archive", make_image_save},
    Entry{"image bundle", kImages, "Write an image as an OCI runtime bundle", make_image_bundle},

    Entry{"volume create", kVolumes, "Create a volume", make_volume_create},
    Entry{"volume ls", kVolumes, "List volumes", make_volume_ls},
    Entry{"volume inspect", kVolumes, "Show everything known about volumes", make_volume_inspect},
    Entry{"volume rm", kVolumes, "Remove volumes", make_volume_rm},
    Entry{"volume prune", kVolumes, "Remove volumes that no container uses", make_volume_prune},

    Entry{"pod run", kPods, "Run a pod from a Kubernetes manifest, whole or not at all",
          make_pod_run},
    Entry{"pod ps", kPods, "List pods", make_pod_ps},
    Entry{"pod inspect", kPods, "Show everything known about pods", make_pod_inspect},
    Entry{"pod logs", kPods, "Show what a pod's containers printed", make_pod_logs},
    Entry{"pod exec", kPods, "Run a further program in a container of a pod", make_pod_exec},
    Entry{"pod stats", kPods, "Show what a pod's containers use, live", make_pod_stats},
    Entry{"pod stop", kPods, "Ask pods to end, then make them", make_pod_stop},
    Entry{"pod wait", kPods, "Wait until pods end and print their exit codes", make_pod_wait},
    Entry{"pod rm", kPods, "Remove pods", make_pod_rm},

    Entry{"pool create", kPools, "Prepare containers that wait", make_pool_create},
    Entry{"pool run", kPools, "Take a container that waits, and run it", make_pool_run},
    Entry{"pool ls", kPools, "List pools", make_pool_ls},
    Entry{"pool inspect", kPools, "Show everything known about pools", make_pool_inspect},
    Entry{"pool resize", kPools, "Change how many containers wait", make_pool_resize},
    Entry{"pool rm", kPools, "Remove pools", make_pool_rm},

    Entry{"vm setup", kVms, "Install the kernel that microVMs are started with", make_vm_setup},
    Entry{"vm ls", kVms, "List the kernels for microVMs", make_vm_ls},
    Entry{"vm info", kVms, "Show what microVMs are made of on this host", make_vm_info},
    Entry{"vm rm", kVms, "Remove kernels for microVMs", make_vm_rm},

    Entry{"device ls", kHost, "List the devices that the host's CDI files define", make_device_ls},
    Entry{"install", kHost, "Make trivet a runtime of Docker, Podman, containerd or Kubernetes",
          make_install},
    Entry{"uninstall", kHost, "Take that out again", make_uninstall},
    Entry{"config show", kConfig, "Show what is configured, and where", make_config_show},
    Entry{"config check", kConfig, "Say all that is wrong with files of configuration",
          make_config_check},
    Entry{"config schema", kConfig, "Print a JSON schema of the files", make_config_schema},

    Entry{"doctor", kHost, "Try out what containers need of this host", make_doctor},
    Entry{"info", kHost, "Show what this host can do and where things are kept", make_info},
    Entry{"version", kHost, "Show the version", make_version},
    Entry{"completion", kHost, "Print the completion script of a shell", make_completion},
    Entry{"help", kHost, "Explain a command", make_help},

    Entry{"__man", kHidden, "Write the man pages into a directory", make_man},
    Entry{"__markdown", kHidden, "Print the reference of all commands", make_markdown},
    Entry{"__complete", kHidden, "Print names for shell completion", make_complete},
};

struct Translation {
  const char* typed;
  const char* here;
};

// What people coming from Docker and Podman type.
constexpr std::array kTranslations{
    Translation{"ls", "use `trivet ps`"},
    Translation{"list", "use `trivet ps`"},
    Translation{"container", "container commands have no prefix here: `trivet ps`, `trivet rm`"},
    Translation{"load", "use `trivet image import`"},
    Translation{"import", "use `trivet image import`"},
    Translation{"save", "use `trivet image save`"},
    Translation{"image load", "use `trivet image import`"},
    Translation{"image list", "use `trivet image ls`"},
    Translation{"image pull", "use `trivet pull`"},
    Translation{"image push", "use `trivet push`"},
    Translation{"volume list", "use `trivet volume ls`"},
    Translation{"pod ls", "use `trivet pod ps`"},
    Translation{"pod list", "use `trivet pod ps`"},
    Translation{"pod create", "a pod starts as a whole: `trivet pod run FILE`"},
    Translation{"pod start", "a pod starts as a whole: `trivet pod run FILE`"},
    Translation{"pod apply", "use `trivet pod run FILE`"},
    Translation{"pod delete", "use `trivet pod rm`"},
    Translation{"pod kill", "use `trivet pod stop --time 0`"},
    Translation{"pool list", "use `trivet pool ls`"},
    Translation{"pool start", "use `trivet pool run`"},
    Translation{"pool take", "use `trivet pool run`"},
    Translation{"kube", "use `trivet pod run FILE`"},
    Translation{"play", "use `trivet pod run FILE`"},
    Translation{"device list", "use `trivet device ls`"},
    Translation{"vm list", "use `trivet vm ls`"},
    Translation{"vm install", "use `trivet vm setup`"},
    Translation{"system", "use `trivet info` and `trivet prune`"},
    Translation{"login",
                "use `--creds USER:PASSWORD`, or the login of Docker or Podman, which is used"},
    Translation{"build", "trivet builds no images, Buildah does: `buildah build`"},
};

}  // namespace

std::span<const Entry> entries() {
  return kEntries;
}

Command make_command(const Entry& entry) {
  Command command = entry.make();
  command.path = entry.path;
  command.summary = entry.summary;
  return command;
}

const Entry* find_entry(std::string_view path) {
  const auto* const found = std::ranges::find(kEntries, path, &Entry::path);
  return found == kEntries.end() ? nullptr : &*found;
}

bool is_group(std::string_view word) {
  return word == "image" || word == "volume" || word == "pod" || word == "pool" || word == "vm" ||
         word == "config" || word == "device";
}

std::string group_summary(std::string_view word) {
  if (word == "pod") return "Run several containers as one, from a Kubernetes manifest";
  if (word == "device") return "Look at the devices that containers can be given";
  if (word == "pool") return "Have containers wait, prepared, to be started at once";
  if (word == "vm") return "Work with what microVMs are made of";
  if (word == "config") return "See and check what is configured";
  return word == "image" ? "Work with images" : "Work with volumes";
}

std::string advice_for_unknown(std::string_view group, std::string_view word) {
  const std::string typed = group.empty() ? std::string(word) : fmt::format("{} {}", group, word);
  for (const Translation& translation : kTranslations) {
    if (typed == translation.typed) return translation.here;
  }
  std::vector<std::string> known;
  for (const Entry& entry : kEntries) {
    const std::string_view path = entry.path;
    if (path.starts_with("__")) continue;
    if (group.empty()) {
      known.emplace_back(path.substr(0, path.find(' ')));
    } else if (path.starts_with(std::string(group) + " ")) {
      known.emplace_back(path.substr(group.size() + 1));
    }
  }
  const std::string nearest = nearest_name(word, known);
  if (nearest.empty()) return {};
  return fmt::format("did you mean `trivet {}{}{}`?", group, group.empty() ? "" : " ", nearest);
}

}  // namespace trivet::cli
