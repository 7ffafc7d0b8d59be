#include "cli/progress.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/format.h"
#include "cli/session.h"

namespace trivet::cli {

namespace {

using Kind = TransferEvent::Kind;
using Clock = std::chrono::steady_clock;

constexpr auto kRedrawInterval = std::chrono::milliseconds(80);

struct TerminalSize {
  size_t rows = 24;
  size_t columns = 80;
};

TerminalSize terminal_size() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
    return {};
  return {.rows = size.ws_row, .columns = size.ws_col};
}

void write_stderr(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

std::string bar(uint64_t done, uint64_t total, size_t width) {
  const size_t filled = total == 0 ? 0 : std::min<size_t>(width, done * width / total);
  std::string text = "[" + std::string(filled, '=');
  if (filled < width) text += '>' + std::string(width - filled - 1, ' ');
  return text + "]";
}

const char* word_for(Kind kind) {
  switch (kind) {
    case Kind::kResolved:
      return "found";
    case Kind::kExists:
      return "already here";
    case Kind::kDownloading:
      return "downloading";
    case Kind::kDownloaded:
      return "downloaded";
    case Kind::kUnpacking:
      return "unpacking";
    case Kind::kUnpacked:
      return "done";
    case Kind::kRetry:
      return "trying again";
    case Kind::kUploading:
      return "uploading";
    case Kind::kUploaded:
      return "uploaded";
  }
  return "";
}

bool is_moving(Kind kind) {
  return kind == Kind::kDownloading || kind == Kind::kUnpacking || kind == Kind::kUploading;
}

// Draws the board, at once or as lines. Nothing is drawn later than an event: by then a container
// may own the terminal.
class Renderer {
 public:
  explicit Renderer(std::string verb)
      : verb_(std::move(verb)), terminal_(Session::stderr_is_terminal()) {}
  void on_event(const std::string& name, const TransferEvent& event) {
    const std::scoped_lock lock(mutex_);
    if (names_.insert(name).second) note(fmt::format("{} {}", verb_, printable(name)));
    const std::string line = board_.update(event);
    if (!terminal_) {
      if (!line.empty()) write_stderr(line + '\n');
      return;
    }
    if (event.kind == Kind::kRetry) note(line);
    const bool settled = !is_moving(event.kind);
    if (!settled && Clock::now() - drawn_at_ < kRedrawInterval) return;
    redraw();
  }

 private:
  // A line that stays above the bars.
  void note(const std::string& line) {
    if (drawn_ > 0) write_stderr(fmt::format("\x1b[{}A\x1b[J", drawn_));
    drawn_ = 0;
    write_stderr(line + '\n');
  }

  void redraw() {
    const TerminalSize size = terminal_size();
    std::vector<std::string> lines = board_.draw(size.columns - 1);
    const size_t room = std::max<size_t>(size.rows, 4) - 2;
    if (lines.size() > room) {
      const size_t hidden = lines.size() - room + 1;
      lines.erase(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(hidden));
      lines.insert(lines.begin(), fmt::format("… {} more layers", hidden));
    }
    std::string frame = drawn_ > 0 ? fmt::format("\x1b[{}A", drawn_) : "";
    for (const std::string& line : lines) frame += line + "\x1b[K\n";
    write_stderr(frame);
    drawn_ = lines.size();
    drawn_at_ = Clock::now();
  }

  std::mutex mutex_;
  std::string verb_;
  std::set<std::string> names_;  // what has been announced
  ProgressBoard board_;
  bool terminal_;
  size_t drawn_ = 0;
  Clock::time_point drawn_at_;
};

}  // namespace

ProgressBoard::Layer& ProgressBoard::layer_of(const std::string& digest) {
  const auto found = std::ranges::find(layers_, digest, &Layer::digest);
  if (found != layers_.end()) return *found;
  return layers_.emplace_back(Layer{.digest = digest});
}

std::string ProgressBoard::update(const TransferEvent& event) {
  if (event.digest.empty() || event.kind == Kind::kResolved) {
    return event.message.empty() ? "" : printable(event.message);
  }
  Layer& layer = layer_of(event.digest);
  const bool news = layer.kind != event.kind;
  layer.kind = event.kind;
  layer.done = event.done;
  layer.total = event.total;
  // Unpacking counts other bytes than the transfer did.
  if (event.kind != Kind::kUnpacking && event.kind != Kind::kUnpacked) {
    layer.size = std::max({layer.size, event.done, event.total});
  }
  const std::string name = short_id(event.digest);
  switch (event.kind) {
    case Kind::kExists:
      return news ? name + ": already here" : "";
    case Kind::kDownloaded:
      return fmt::format("{}: downloaded {}", name, format_size(layer.size));
    case Kind::kUploaded:
      return fmt::format("{}: uploaded {}", name, format_size(layer.size));
    case Kind::kUnpacked:
      return name + ": unpacked";
    case Kind::kRetry:
      return fmt::format("{}: {}, trying again", name, printable(event.message));
    default:
      return "";
  }
}

std::string ProgressBoard::draw_layer(const Layer& layer, size_t width) {
  std::string text = fmt::format("{}  {:<14}", short_id(layer.digest), word_for(layer.kind));
  const bool moving = is_moving(layer.kind);
  const std::string amount =
      moving && layer.total > 0
          ? fmt::format("{} / {}", format_size(layer.done), format_size(layer.total))
          : (layer.size > 0 ? format_size(layer.size) : "");
  constexpr size_t kLeast = 10;
  const size_t used = text.size() + amount.size() + 5;
  if (moving && layer.total > 0 && width >= used + kLeast) {
    text += "  " + bar(layer.done, layer.total, std::min<size_t>(40, width - used));
  }
  if (!amount.empty()) text += " " + amount;
  text.resize(std::min(text.size(), width));
  text.resize(text.find_last_not_of(' ') + 1);
  return text;
}

std::vector<std::string> ProgressBoard::draw(size_t width) const {
  std::vector<std::string> lines;
  for (const Layer& layer : layers_) lines.push_back(draw_layer(layer, width));
  return lines;
}

TransferProgress lazy_progress(const std::string& name, const std::string& verb) {
  const auto renderer = std::make_shared<Renderer>(verb);
  return [renderer, name](const TransferEvent& event) { renderer->on_event(name, event); };
}

std::function<void(const std::string& image, const TransferEvent&)> lazy_progress_of_several() {
  const auto renderer = std::make_shared<Renderer>("Pulling");
  return [renderer](const std::string& image, const TransferEvent& event) {
    renderer->on_event(image, event);
  };
}

}  // namespace trivet::cli
