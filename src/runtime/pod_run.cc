// A pod in the making. Everything that can be wrong with the manifest is said before anything is
// touched, and images are there before anything of the pod is made. From the journal's first line
// on a failure removes everything.
#include <algorithm>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <set>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/fs.h"
#include "base/paths.h"
#include "monitor/control.h"
#include "monitor/vm_network.h"
#include "net/routes.h"
#include "payload/microvm/pod.h"
#include "pod/infra.h"
#include "pod/journal.h"
#include "pod/remove.h"
#include "runtime/create.h"
#include "runtime/facts.h"
#include "runtime/names.h"
#include "runtime/pod.h"
#include "runtime/pod_plan.h"

namespace trivet::runtime {

namespace {

// ---------------------------------------------------------------- images

struct Pull {
  RunOptions options;
  std::optional<Error> failure;
};

// One for each image, however many containers have it.
std::vector<Pull> plan_pulls(const PodPlan& plan, const PodOptions& options) {
  std::map<std::pair<std::string, std::string>, Pull> pulls;
  for (const PlannedContainer& container : plan.containers) {
    Pull pull;
    pull.options.image = container.options.image;
    pull.options.pull = container.options.pull;
    pull.options.transfer = options.transfer;
    if (options.progress) {
      pull.options.transfer.progress = [&options,
                                        image = pull.options.image](const TransferEvent& event) {
        static std::mutex mutex;
        const std::scoped_lock lock(mutex);
        options.progress(image, event);
      };
    }
    pulls.try_emplace({pull.options.image, pull.options.pull}, std::move(pull));
  }
  std::vector<Pull> list;
  for (auto& [key, pull] : pulls) list.push_back(std::move(pull));
  return list;
}

void pull_one(const Home& home, Pull& pull) {
  auto image = resolve_image(home, pull.options);
  if (!image) {
    pull.failure = std::move(image).error().in(fmt::format("image \"{}\"", pull.options.image));
  }
}

// Side by side; an image that is here costs no thread.
Result<> pull_images(const Home& home, const PodPlan& plan, const PodOptions& options) {
  std::vector<Pull> pulls = plan_pulls(plan, options);
  if (pulls.size() == 1) {
    pull_one(home, pulls.front());
  } else {
    std::vector<std::jthread> threads;
    for (Pull& pull : pulls) threads.emplace_back([&] { pull_one(home, pull); });
  }
  std::optional<Error> failure;
  for (Pull& pull : pulls) {
    if (!pull.failure) continue;
    failure = failure ? std::move(*failure).note(*pull.failure) : std::move(*pull.failure);
  }
  if (failure) return std::unexpected(std::move(*failure));
  return {};
}

// Those of a pod that is one microVM are its disks. Images of the same layers share one.
Result<> check_images(const Home& home, const PodPlan& plan) {
  if (plan.record.isolation != "microvm") return {};
  std::set<std::vector<std::string>> images;
  for (const PlannedContainer& container : plan.containers) {
    RunOptions options;
    options.image = container.options.image;
    options.pull = "missing";  // it is here by now
    images.insert(TRY(resolve_image(home, options)).config.diff_ids);
  }
  return payload::microvm::check_pod_images(home.directories.data, images.size());
}

// ---------------------------------------------------------------- files

Result<> make_file(const UniqueFd& directory, const std::string& path, std::string_view content,
                   mode_t mode) {
  const UniqueFd fd = TRY(open_at(directory.get(), path, O_WRONLY | O_CREAT | O_EXCL, mode));
  TRY(write_all(fd.get(), content, path));
  if (fchmod(fd.get(), mode) != 0) return fail_errno("chmod \"{}\"", path);
  return {};
}

// Directories of an otherwise empty volume, whose names have been checked.
Result<> make_parents(const UniqueFd& volume, const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/'); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    const std::string directory = path.substr(0, slash);
    if (mkdirat(volume.get(), directory.c_str(), mode) != 0 && errno != EEXIST) {
      return fail_errno("mkdir \"{}\"", directory);
    }
  }
  return {};
}

Result<> own_by_group(const UniqueFd& directory, const PodVolume& volume) {
  const mode_t mode = volume.fs_group ? volume.mode | S_ISGID | 0070U : volume.mode;
  if (volume.fs_group && fchown(directory.get(), 0, *volume.fs_group) != 0) {
    return fail_errno("chown to the group {}", *volume.fs_group);
  }
  if (fchmod(directory.get(), mode) != 0) return fail_errno("chmod {:o}", mode);
  return {};
}

// What a mount wants of a volume may be used by the same people as the whole.
Result<> make_part(const UniqueFd& root, const std::string& path, const PodVolume& volume) {
  for (size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
    const std::string part = path.substr(0, slash);
    if (mkdirat(root.get(), part.c_str(), 0700) == 0) {
      const UniqueFd made = TRY(open_at(root.get(), part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
      TRY(own_by_group(made, volume));
    } else if (errno != EEXIST) {
      return fail_errno("mkdir \"{}\"", part);
    }
    if (slash == std::string::npos) return {};
  }
}

Result<> make_volume(const std::string& path, const PodVolume& volume) {
  constexpr mode_t kDirectoryMode = 0755;
  TRY(make_dirs(path, 0700));
  const UniqueFd directory = TRY(open_file(path, O_RDONLY | O_DIRECTORY));
  for (const std::string& name : volume.directories) TRY(make_part(directory, name, volume));
  for (const PodVolume::File& file : volume.files) {
    TRY(make_parents(directory, file.path, kDirectoryMode));
    TRY(make_file(directory, file.path, file.content, file.mode));
    if (volume.fs_group && fchownat(directory.get(), file.path.c_str(), 0, *volume.fs_group,
                                    AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno("chown \"{}\"", file.path);
    }
  }
  return own_by_group(directory, volume);
}

bool is_kind(HostPathUse::Kind kind, mode_t mode) {
  using enum HostPathUse::Kind;
  switch (kind) {
    case kAny:
      return true;
    case kDirectory:
    case kDirectoryOrCreate:
      return S_ISDIR(mode);
    case kFile:
    case kFileOrCreate:
      return S_ISREG(mode);
    case kSocket:
      return S_ISSOCK(mode);
    case kCharDevice:
      return S_ISCHR(mode);
    case kBlockDevice:
      return S_ISBLK(mode);
  }
  return false;
}

// What the manifest says about a path of the host. What is made here stays, as in Kubernetes.
Result<> check_host_path(const HostPathUse& use) {
  using enum HostPathUse::Kind;
  struct stat status{};
  if (stat(use.path.c_str(), &status) == 0) {
    if (is_kind(use.kind, status.st_mode)) return {};
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is not of the type that hostPath.type says",
                use.path);
  }
  if (errno != ENOENT) return fail_errno("stat \"{}\"", use.path);
  if (use.kind == kDirectoryOrCreate) return make_dirs(use.path, 0755);
  if (use.kind == kFileOrCreate) {
    TRY(open_file(use.path, O_WRONLY | O_CREAT, 0644));
    return {};
  }
  return fail(ErrorCode::kNotFound, "\"{}\" does not exist", use.path);
}

// ---------------------------------------------------------------- the pod

class PodCreation {
 public:
  PodCreation(const Home& home, PodPlan plan, const PodOptions& options)
      : home_(home),
        plan_(std::move(plan)),
        options_(options),
        paths_{.directories = home.directories, .id = plan_.record.id} {}

  Result<> run() {
    const std::string program = find_companion("trivet-pod-monitor");
    if (program.empty()) {
      return std::unexpected(
          Error(ErrorCode::kUnsupported, "the program trivet-pod-monitor is not installed")
              .hint("it belongs beside trivet or into PREFIX/libexec/trivet"));
    }
    const pod::Journal journal = TRY(pod::Journal::begin(paths_, journal_head()));
    auto made = make(journal, program);
    if (made) return made;
    // Its supervisor has done so already, unless it was not there yet, or no more.
    if (!exists(paths_.data())) return made;
    Error cause = std::move(made).error();
    if (auto removed = pod::remove_pod(paths_, journal); !removed) {
      cause = std::move(cause).note(removed.error());
    }
    return std::unexpected(std::move(cause));
  }

 private:
  [[nodiscard]] pod::JournalHead journal_head() const {
    pod::JournalHead head{
        .id = paths_.id, .name = plan_.record.name, .cgroup_parent = plan_.record.cgroup_parent};
    for (size_t i = 0; const pod::PodContainer& container : plan_.record.containers) {
      head.containers.push_back(
          {.id = container.id, .name = plan_.containers.at(i++).options.name});
    }
    return head;
  }

  // The supervisor starts while the files are made.
  Result<> make(const pod::Journal& journal, const std::string& program) {
    TRY(pod::claim_pod_name(home_.directories, plan_.record.name, paths_.id));
    supervisor_ = TRY(monitor::spawn_monitor({.directories = home_.directories,
                                              .id = paths_.id,
                                              .program = program,
                                              .given_fd = journal.fd()}));
    TRY(journal.note(pod::Step::kFiles));
    TRY(make_files());
    TRY(make_containers(journal));
    TRY(supervisor_->go());
    TRY(supervisor_->wait());
    return {};
  }

  Result<> make_files() {
    for (const HostPathUse& use : plan_.host_paths) {
      TRY_IN(check_host_path(use), "volume \"{}\"", use.volume);
    }
    for (const char* name : {"rootfs", "shm"}) TRY(make_dirs(paths_.data() + "/" + name, 0755));
    TRY(own_shm());
    for (const PodVolume& volume : plan_.volumes) {
      TRY_IN(make_volume(paths_.volume(volume.name), volume), "volume \"{}\"", volume.name);
    }
    const UniqueFd directory = TRY(open_file(paths_.data(), O_RDONLY | O_DIRECTORY));
    TRY(make_file(directory, "hostname", plan_.record.hostname + "\n", 0644));
    TRY(write_network_files(directory.get(), plan_.hosts, plan_.record.network, plan_.dns));
    TRY(make_resolvers(directory));
    TRY(net::choose_ports(plan_.record.ports));
    return pod::write_pod_record(paths_, plan_.record);
  }

  // Extensions ask whom the containers would ask; these may ask an extension.
  Result<> make_resolvers(const UniqueFd& directory) const {
    if (plan_.record.extensions.empty()) return {};
    const std::string text = TRY(read_file_at(directory.get(), "resolv.conf"));
    TRY(make_file(directory, "resolv.conf.upstream", text, 0644));
    if (!pod::has_discovery(plan_.record.extensions)) return {};
    TRY(make_machine_files(directory, text));
    return replace_file(directory.get(), "resolv.conf", pod::point_to_discovery(text));
  }

  // 127.0.0.11 is out of reach of a microVM among the containers; the names are few and known.
  Result<> make_machine_files(const UniqueFd& directory, const std::string& resolv_conf) const {
    // plan_pod() has refused servers that a microVM can't ask.
    const auto resolver = pod::bypass_discovery(resolv_conf, plan_.record.extensions);
    TRY(make_file(directory, monitor::kMachineResolver, resolver.value_or(resolv_conf), 0644));
    std::string text = TRY(read_file_at(directory.get(), "hosts"));
    for (const pod::PodContainer& container : plan_.record.containers) {
      text += fmt::format("127.0.0.1\t{}\n", container.name);
    }
    return make_file(directory, monitor::kMachineHosts, text, 0644);
  }

  // What the mode of /dev/shm is.
  Result<> own_shm() const {
    const std::string path = paths_.data() + "/shm";
    if (chmod(path.c_str(), 01777) == 0) return {};
    return fail_errno("chmod \"{}\"", path);
  }

  Result<> make_containers(const pod::Journal& journal) {
    const PodShell shell{.id = paths_.id,
                         .directory = paths_.data(),
                         .hostname = plan_.record.hostname,
                         .share_pid = plan_.record.share_pid,
                         .network = plan_.record.network,
                         .is_machine = plan_.record.isolation == "microvm"};
    for (size_t i = 0; PlannedContainer & container : plan_.containers) {
      const pod::PodContainer& planned = plan_.record.containers.at(i++);
      TRY(journal.note(pod::Step::kContainer, planned.name));
      container.options.pull = "missing";  // it is here by now
      if (options_.on_warning) {
        container.options.on_warning = [this](const std::string& text) { warn_once(text); };
      }
      const PodMember member{.pod = shell, .must_not_be_root = container.must_not_be_root};
      TRY_IN(create_pod_container(home_, container.options, planned.id, member), "container \"{}\"",
             planned.name);
    }
    return {};
  }

  // Most of what is said of a machine is true of the next one.
  void warn_once(const std::string& text) {
    if (warnings_.insert(text).second) options_.on_warning(text);
  }

  const Home& home_;
  PodPlan plan_;
  const PodOptions& options_;
  std::set<std::string> warnings_;
  pod::PodPaths paths_;
  // Until everything is undone: one that is not told to go takes us for dead when it is left alone.
  std::optional<monitor::MonitorStarting> supervisor_;
};

Result<PodPlan> make_plan(const Home& home, const manifest::Manifest& manifest,
                          const PodOptions& options) {
  const bool is_machine = pod_isolation(manifest.pod, options) == "microvm";
  PodPlanInput input{.manifest = manifest,
                     .options = options,
                     .id = make_id(),
                     .created = std::chrono::system_clock::now(),
                     .host_name = make_host_facts().hostname,
                     .host_address = net::host_address(),
                     .address = is_machine ? net::kVmAddress : net::pasta_address(),
                     .find_companion = find_companion};
  input.directory = home.pods() + "/" + input.id;
  for (size_t i = 0; i < manifest.pod.containers.size(); ++i)
    input.container_ids.push_back(make_id());
  return plan_pod(input);
}

Result<manifest::Manifest> parse(const std::string& text, const PodOptions& options) {
  manifest::ParseOptions parse{.file = options.manifest_name,
                               .ignore_unsupported = options.ignore_unsupported,
                               .grace_seconds = options.grace.count()};
  for (const std::string& path : options.config_files) {
    parse.configs.push_back({ .file = path, .content = TRY(read_file(path)) });
  }
  return manifest::parse_manifest(text, parse);
}

}  // namespace

Result<PodInfo> run_pod(const Home& home, const std::string& manifest, const PodOptions& options) {
  const manifest::Manifest parsed = TRY(parse(manifest, options));
  PodPlan plan = TRY(make_plan(home, parsed, options));
  if (options.on_warning) {
    for (const std::string& warning : plan.warnings) options.on_warning(warning);
  }
  plan.record.sysctls = plan.sysctls;
  const std::string id = plan.record.id;
  const std::string name = plan.record.name;
  TRY(pull_images(home, plan, options));
  TRY_IN(check_images(home, plan), "cannot run pod \"{}\"", name);
  TRY_IN(PodCreation(home, std::move(plan), options).run(), "cannot run pod \"{}\"", name);
  return describe_pod(home, id);
}

}  // namespace trivet::runtime
