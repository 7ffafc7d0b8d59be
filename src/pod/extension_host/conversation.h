// An extension library's side of the lines on stdin and stdout.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "pod/extension_message.h"
#include "pod/line_buffer.h"

namespace trivet::pod {

// Any thread may ask; one reads (read_all), one takes events.
class Conversation {
 public:
  Conversation(UniqueFd input, UniqueFd output)
      : input_(std::move(input)), output_(std::move(output)) {}

  // The first line, which is the order to start. Before read_all().
  Result<ExtensionOrder> read_start();
  // Reads until the engine closes; events and answers go to those who wait for them.
  void read_all();
  // The next event; nothing when the conversation is over.
  std::optional<Event> next_event();

  Result<> send(const ExtensionRequest& request);
  // Sends the request and waits for its answer; the id is given here.
  Result<ExtensionOrder> ask(ExtensionRequest request);

 private:
  Result<> read_some();
  Result<> take(ExtensionOrder order);

  UniqueFd input_;
  UniqueFd output_;
  LineBuffer lines_{kMaxExtensionLine};

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Event> events_;
  std::map<uint32_t, std::optional<ExtensionOrder>> answers_;  // of those who wait
  uint32_t last_id_ = 0;
  bool closed_ = false;
};

}  // namespace trivet::pod
