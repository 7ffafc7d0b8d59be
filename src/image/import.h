// The steps that all ways into the store share; Store::import finds out which way it is.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/reference.h"
#include "image/store.h"

namespace trivet::image {

// Makes sure that a blob of the layout is in the store.
using FetchBlob = std::function<Result<>(const oci::Descriptor& blob)>;

// The images of an OCI layout's index.json. Without `name`, each gets the name of its annotations
// (io.containerd.image.name, org.opencontainers.image.ref.name when that is a whole reference).
Result<std::vector<Image>> import_index(const Store& store, std::string_view index_json,
                                        const FetchBlob& fetch,
                                        const std::optional<Reference>& name);

// Unpacks the layers of a manifest whose blobs are in the store and registers the image under each
// of the names; without any it is dangling.
Result<Image> import_manifest(const Store& store, const std::string& manifest_digest,
                              const std::vector<Reference>& names);

// Makes the manifest of a config and layer blobs that are in the store already.
Result<std::string> put_manifest(const Store& store, const std::string& config_digest,
                                 const std::vector<std::string>& layer_digests);

// An image of one layer, a blob of the store that is the tar of a root file system. `config` says
// what else it is; its diff ids are filled in.
Result<Image> import_rootfs_layer(const Store& store, const std::string& layer_digest,
                                  const std::string& diff_id, const Reference& name,
                                  oci::ImageConfig config);
// What an imported root file system says of itself: that it is for this host.
[[nodiscard]] oci::ImageConfig rootfs_config();

// A tar of any kind.
Result<std::vector<Image>> import_archive(const Store& store, int fd,
                                          const std::optional<Reference>& name);
// An OCI layout as a directory.
Result<std::vector<Image>> import_layout_directory(const Store& store, int directory_fd,
                                                   const std::optional<Reference>& name);
// The tar of a directory as a blob; returns its digest.
Result<std::string> put_tree(const Store& store, int directory_fd);
// A root file system as a directory.
Result<Image> import_rootfs_directory(const Store& store, int directory_fd, const Reference& name);

// A rootfs has no name of its own.
Result<Reference> require_name(const std::optional<Reference>& name);

// Copies the rest of a descriptor into a new blob; returns its digest.
Result<std::string> put_fd(const Store& store, int fd, uint64_t limit);

}  // namespace trivet::image
