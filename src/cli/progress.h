// Progress of a pull or push on stderr: a bar for each layer on a terminal, plain lines otherwise.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "trivet/engine.h"

namespace trivet::cli {

// What is known about the layers, and how it is drawn. No output of its own.
class ProgressBoard {
 public:
  // Takes in one event. Returns the plain line it is worth, without line end; empty when none.
  std::string update(const TransferEvent& event);
  // One line for each layer in the order they appeared, at most `width` columns each.
  [[nodiscard]] std::vector<std::string> draw(size_t width) const;

 private:
  struct Layer {
    std::string digest;
    TransferEvent::Kind kind = TransferEvent::Kind::kDownloading;
    uint64_t done = 0;
    uint64_t total = 0;
    uint64_t size = 0;  // bytes that were transferred in the end
  };
  [[nodiscard]] static std::string draw_layer(const Layer& layer, size_t width);
  Layer& layer_of(const std::string& digest);

  std::vector<Layer> layers_;
};

// A sink for events that prints "Pulling NAME…" before the first one, and nothing when there is
// none. May be called from several threads. `verb` is "Pulling" or "Pushing".
TransferProgress lazy_progress(const std::string& name, const std::string& verb = "Pulling");

// The same for images that are pulled side by side, whose bars stand together.
std::function<void(const std::string& image, const TransferEvent&)> lazy_progress_of_several();

}  // namespace trivet::cli
