// One end of the agent protocol on a stream socket, served by the event loop. Nothing here blocks.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/protocol.h"

namespace trivet::vmm {

class Connection {
 public:
  struct Handlers {
    // An error ends the connection. Must not destroy it.
    std::function<Result<>(const guest::Frame&)> on_frame;
    // It has ended: kCorrupt when what came was malformed, or kNetwork. May destroy it.
    std::function<void(const Error&)> on_end;
    // What was to be sent has been sent.
    std::function<void()> on_drained;
  };

  // `direction` is that of the frames which come in.
  Connection(EventLoop& loop, UniqueFd socket, guest::Direction direction)
      : loop_(loop), socket_(std::move(socket)), reader_(direction) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { close(); }

  Result<> open(Handlers handlers);
  void close();
  [[nodiscard]] bool is_open() const { return socket_.valid(); }

  void send(guest::FrameType type, uint32_t session, std::string_view payload = {},
            uint8_t container = 0);
  void send_frame(std::string_view frame);
  [[nodiscard]] size_t pending() const { return pending_.size() - begin_; }

  // While it is held nothing is read.
  void hold(bool held);

 private:
  void serve(uint32_t events);
  void read_some();
  Result<> take_frames();
  void write_some();
  void update_interest();
  void end(const Error& cause);

  EventLoop& loop_;
  UniqueFd socket_;
  guest::FrameReader reader_;
  Handlers handlers_;
  std::string pending_;
  size_t begin_ = 0;       // of what is not sent yet
  uint32_t interest_ = 0;  // what the loop watches for
  bool held_ = false;
};

}  // namespace trivet::vmm
