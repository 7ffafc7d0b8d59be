// Pieces of URLs: what http.cc needs of them.
#pragma once

#include <string>

namespace trivet::image {

// "host" or "[::1]" of a URL, without the port; empty when it is no URL.
[[nodiscard]] std::string host_of(const std::string& url);

}  // namespace trivet::image
