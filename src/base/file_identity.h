// Which file it is, and whether it may have changed, without reading it.
#pragma once

#include <string>
#include <sys/stat.h>

namespace trivet {

// Device, inode, size and times of an open file as one word; the same as long as the file is what
// it was. `status` is its fstat(2). On an overlay the device is left out: it is another one each
// time the overlay is mounted, while the files keep the inodes and times of the layers.
[[nodiscard]] std::string file_identity(int fd, const struct stat& status);

// Whether the file has been left alone for longer than the clock's granularity: before that, its
// identity says nothing about what is written to it next.
[[nodiscard]] bool has_settled(const struct stat& status);

}  // namespace trivet
