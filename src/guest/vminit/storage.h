// The containers' files: disks, the share, volumes, and what came with the requests.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "container/container.h"
#include "guest/messages.h"

namespace trivet::guest {

// The contents and modes of the inline files; one that is there stays the same inode.
Result<> write_files(const CreateRequest& request);

class Storage {
 public:
  // Writes the inline files and mounts everything the request names that is not mounted yet. The
  // overlay to make the root from; nothing where the configuration's root.path is it.
  Result<std::optional<container::OverlayRoot>> prepare(const CreateRequest& request,
                                                        uint8_t container);

  // Writes back and unmounts, as far as nobody holds them any more.
  void release();

 private:
  Result<> mount_disk(const std::string& device, const std::string& target, unsigned long flags);
  Result<> mount_share();
  Result<> make_volumes(const std::vector<Volume>& volumes);
  Result<> make_volume(const Volume& volume);
  Result<container::OverlayRoot> prepare_overlay(const CreateRequest& request, uint8_t container);
  Result<> mount(const std::string& source, const std::string& target, const char* type,
                 unsigned long flags, const std::string& data = {});
  [[nodiscard]] bool is_mounted(const std::string& target) const;

  std::vector<std::string> mounted_;  // in the order in which it was done
};

}  // namespace trivet::guest
