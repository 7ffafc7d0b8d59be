// Containers, images and volumes as rows for people and objects for programs. Pure.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cli/format.h"
#include "trivet/engine.h"

namespace trivet::cli {

enum class IdLength { kShort, kFull };

// "Up 5 minutes (paused)", "Exited (1) 3 seconds ago", "Created".
std::string status_text(const ContainerInfo& info);
// "127.0.0.1:8080->80/tcp, …"
std::string ports_text(const std::vector<PublishedPort>& ports);

// Docker's names for the members.
Object container_object(const ContainerInfo& info);
Object image_object(const ImageInfo& info, const std::string& name);
Object volume_object(const VolumeInfo& info);
Object port_object(const PublishedPort& port);
Object pod_object(const PodInfo& info);
Object stats_object(const ContainerStats& stats);

// The names of pods by id.
using PodNames = std::map<std::string, std::string>;

struct ContainerColumns {
  IdLength length = IdLength::kShort;
  bool size = false;
  bool pod = false;
};
Listing list_containers(const std::vector<ContainerInfo>& containers,
                        const ContainerColumns& columns, const PodNames& pods);
Listing list_images(const std::vector<ImageInfo>& images, IdLength length, bool with_digests);
Listing list_pods(const std::vector<PodInfo>& pods, IdLength length);
Listing list_volumes(const std::vector<VolumeInfo>& volumes);
Listing list_stats(const std::vector<ContainerStats>& all);

// "docker.io/library/busybox:1.36" in two parts, the tag or digest last; "<none>" when dangling.
struct NameParts {
  std::string repository;
  std::string tag;
};
NameParts split_image_name(const std::string& name);

// --filter KEY=VALUE of ps: id, name, status, label, ancestor, exited, pod. Values of one key are
// alternatives, different keys must all hold.
class ContainerFilter {
 public:
  Result<> add(const std::string& text);
  [[nodiscard]] bool wants_stopped() const;
  [[nodiscard]] bool names_pods() const;
  [[nodiscard]] bool accepts(const ContainerInfo& info, const PodNames& pods = {}) const;

 private:
  std::vector<std::pair<std::string, std::string>> terms_;
};

// --filter KEY=VALUE of pod ps: id, name, status, label.
class PodFilter {
 public:
  Result<> add(const std::string& text);
  [[nodiscard]] bool accepts(const PodInfo& info) const;

 private:
  std::vector<std::pair<std::string, std::string>> terms_;
};

}  // namespace trivet::cli
