// The volumes of a pod, and where its containers mount them.
#include <algorithm>

#include "manifest/expand.h"
#include "runtime/pod_plan_parts.h"

namespace trivet::runtime {

namespace {

using manifest::Source;
using manifest::Volume;

// Go's quotation, as the kubelet writes labels and annotations into a file.
std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += fmt::format("\\{}", c);
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (static_cast<unsigned char>(c) < ' ' || c == 127) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string lines_of(const std::map<std::string, std::string>& entries) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : entries) {
    lines.push_back(fmt::format("{}={}", key, quoted(value)));
  }
  return join(lines, "\n");
}

std::string downward_content(const PodContext& context, const manifest::Item& item) {
  if (item.resource) return pod_resource(context, *item.resource, "");
  if (item.field_path == "metadata.labels") return lines_of(context.pod.labels);
  if (item.field_path == "metadata.annotations") return lines_of(context.pod.annotations);
  return pod_field(context, item.field_path);
}

const manifest::Data* find_data(const PodContext& context, const Source& source) {
  const auto& all = source.kind == Source::Kind::kSecret ? context.input.manifest.secrets
                                                         : context.input.manifest.config_maps;
  const auto found = all.find(source.name);
  return found == all.end() ? nullptr : &found->second;
}

// The files that one source puts into the volume; those of an optional one that is not there are
// none.
std::vector<PodVolume::File> files_of(const PodContext& context, const Volume& volume,
                                      const Source& source) {
  std::vector<PodVolume::File> files;
  const auto add = [&](const std::string& path, const std::string& content,
                       std::optional<uint32_t> mode) {
    files.push_back({.path = path, .content = content, .mode = mode.value_or(volume.file_mode)});
  };
  if (source.kind == Source::Kind::kDownward) {
    for (const manifest::Item& item : source.items) {
      add(item.path, downward_content(context, item), item.mode);
    }
    return files;
  }
  const manifest::Data* data = find_data(context, source);
  if (data == nullptr) return files;
  if (source.items.empty()) {
    for (const auto& [key, content] : data->entries) add(key, content, std::nullopt);
  }
  for (const manifest::Item& item : source.items) {
    const auto found = data->entries.find(item.key);
    if (found != data->entries.end()) add(item.path, found->second, item.mode);
  }
  return files;
}

Result<PodVolume> plan_files(const PodContext& context, const Volume& volume) {
  constexpr uint32_t kReadableByGroup = 0440;
  PodVolume planned{.name = volume.name, .mode = 0755};
  planned.fs_group = context.pod.security.fs_group;
  for (const Source& source : volume.sources) {
    for (PodVolume::File& file : files_of(context, volume, source)) {
      const auto same = [&](const PodVolume::File& other) { return other.path == file.path; };
      if (std::ranges::any_of(planned.files, same)) {
        return wrong_at(source.place, fmt::format("\"{}\" is in the volume twice", file.path));
      }
      if (planned.fs_group) file.mode |= kReadableByGroup;
      planned.files.push_back(std::move(file));
    }
  }
  return planned;
}

HostPathUse::Kind use_of(Volume::HostType type) {
  using From = Volume::HostType;
  using To = HostPathUse::Kind;
  static const std::map<From, To> kKinds = {{From::kAny, To::kAny},
                                            {From::kDirectory, To::kDirectory},
                                            {From::kDirectoryOrCreate, To::kDirectoryOrCreate},
                                            {From::kFile, To::kFile},
                                            {From::kFileOrCreate, To::kFileOrCreate},
                                            {From::kSocket, To::kSocket},
                                            {From::kCharDevice, To::kCharDevice},
                                            {From::kBlockDevice, To::kBlockDevice}};
  return kKinds.at(type);
}

// Relative and without "..", after the variables are in it.
Result<std::string> sub_path_of(const manifest::VolumeMount& mount, const Variables& variables) {
  if (!mount.expand) return mount.sub_path;
  const auto lookup = [&](const std::string& name) -> std::optional<std::string> {
    for (const auto& [known, value] : variables) {
      if (known == name) return value;
    }
    return std::nullopt;
  };
  std::string path = manifest::expand(mount.sub_path, lookup);
  const std::vector<std::string> parts = split(path, '/');
  if (path.empty() || path.front() == '/' || path.find("$(") != std::string::npos ||
      std::ranges::find(parts, "..") != parts.end()) {
    return wrong_at(mount.place,
                    fmt::format("subPathExpr is \"{}\": it is a relative path without \"..\", and "
                                "of variables that the container has",
                                path));
  }
  return path;
}

// What a mount of a part of a volume needs to be there.
Result<> need_sub_path(const manifest::VolumeMount& mount, const Volume& volume,
                       const std::string& path, PodPlan& plan) {
  const auto found = std::ranges::find(plan.volumes, volume.name, &PodVolume::name);
  if (path.empty() || found == plan.volumes.end()) return {};
  if (volume.kind == Volume::Kind::kEmpty) {
    if (std::ranges::find(found->directories, path) == found->directories.end()) {
      found->directories.push_back(path);
    }
    return {};
  }
  const auto holds = [&](const PodVolume::File& file) {
    return file.path == path || file.path.starts_with(path + "/");
  };
  if (std::ranges::any_of(found->files, holds)) return {};
  return wrong_at(mount.place,
                  fmt::format("subPath \"{}\": volume \"{}\" has no such file", path, volume.name));
}

MountOption mount_of(const PodContext& context, const manifest::VolumeMount& mount,
                     const Volume& volume) {
  using Propagation = manifest::VolumeMount::Propagation;
  MountOption option{.type = "bind", .source = {}, .destination = mount.path, .options = {}};
  switch (volume.kind) {
    case Volume::Kind::kHostPath:
      option.source = volume.path;
      break;
    case Volume::Kind::kNamed:
      option.type = "volume";
      option.source = volume.path;
      option.options.emplace_back("nocopy");
      break;
    case Volume::Kind::kEmpty:
    case Volume::Kind::kFiles:
      option.source = fmt::format("{}/volumes/{}", context.input.directory, volume.name);
      break;
  }
  const bool read_only = mount.read_only || volume.read_only || volume.kind == Volume::Kind::kFiles;
  if (read_only) option.options.emplace_back("ro");
  if (mount.propagation == Propagation::kHostToContainer) option.options.emplace_back("rslave");
  if (mount.propagation == Propagation::kBidirectional) option.options.emplace_back("rshared");
  return option;
}

}  // namespace

Result<> plan_pod_volumes(const PodContext& context, PodPlan& plan) {
  for (const Volume& volume : context.pod.volumes) {
    switch (volume.kind) {
      case Volume::Kind::kEmpty:
        plan.volumes.push_back(
            {.name = volume.name, .fs_group = context.pod.security.fs_group, .mode = volume.mode});
        if (volume.memory) {
          plan.record.memory_volumes.push_back({.name = volume.name, .size = volume.size});
        }
        break;
      case Volume::Kind::kFiles:
        plan.volumes.push_back(TRY(plan_files(context, volume)));
        break;
      case Volume::Kind::kHostPath:
        plan.host_paths.push_back(
            {.volume = volume.name, .path = volume.path, .kind = use_of(volume.host_type)});
        break;
      case Volume::Kind::kNamed:
        break;
    }
  }
  return {};
}

Result<std::vector<MountOption>> plan_pod_mounts(const PodContext& context,
                                                 const manifest::Container& container,
                                                 const Variables& variables, PodPlan& plan) {
  std::vector<MountOption> mounts;
  for (const manifest::VolumeMount& mount : container.mounts) {
    const auto volume = std::ranges::find(context.pod.volumes, mount.volume, &Volume::name);
    if (volume == context.pod.volumes.end()) continue;  // the manifest has been checked
    const std::string path = TRY(sub_path_of(mount, variables));
    TRY(need_sub_path(mount, *volume, path, plan));
    MountOption option = mount_of(context, mount, *volume);
    option.sub_path = path;
    mounts.push_back(std::move(option));
  }
  return mounts;
}

}  // namespace trivet::runtime
