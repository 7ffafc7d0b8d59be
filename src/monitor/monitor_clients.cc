// What clients send, and what they get.
#include <algorithm>
#include <array>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "monitor/attach.h"
#include "monitor/monitor.h"
#include "monitor/terminal.h"

namespace trivet::monitor {

Result<> Monitor::add_client(UniqueFd fd, Client::Kind kind) {
  const int number = fd.get();
  clients_.emplace_back(std::move(fd), kind);
  auto watched = loop_.watch(number, EPOLLIN,
                             [this, number](uint32_t events) { handle_client(number, events); });
  if (!watched) clients_.pop_back();
  return watched;
}

void Monitor::accept_clients() {
  for (;;) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd) return;
    (void)add_client(std::move(fd), Client::Kind::kConnected);
  }
}

Client* Monitor::find_client(int fd) {
  const auto found = std::ranges::find(clients_, fd, &Client::fd);
  return found == clients_.end() ? nullptr : &*found;
}

void Monitor::handle_client(int fd, uint32_t events) {
  Client* client = find_client(fd);
  if (client == nullptr) return;
  if ((events & EPOLLOUT) != 0) {
    client->flush();
    if (!client->waiting()) {
      (void)loop_.change(fd, EPOLLIN);
      resume_output();
    }
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_client(*client)) drop_client(fd);
}

// All frames that are there. False when the client has gone.
bool Monitor::read_client(Client& client) {
  static std::array<char, kMaxFrame> buffer;
  const int fd = client.fd();
  for (;;) {
    const ssize_t count = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    // ECONNRESET, once: it closed its end before it had read everything of ours.
    if (count < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    const auto message = parse_frame({buffer.data(), static_cast<size_t>(count)});
    if (message) handle_message(client, *message);
    if (find_client(fd) == nullptr) return true;  // dropped meanwhile
  }
}

void Monitor::handle_message(Client& client, const Message& message) {
  switch (message.type) {
    case Frame::kAttach:
      if (!message.payload.empty() && (message.payload[0] & kAttachOutput) != 0) {
        client.want_output();
      }
      return;
    case Frame::kStdin:
      return add_input(client, message.payload);
    case Frame::kStdinEof:
      input_ended_ = true;
      return write_input();
    case Frame::kDetach:
      client.detached = true;
      return;
    case Frame::kResize:
      if (const auto size = read_window_size(message.payload)) resize(*size);
      return;
    default:
      break;
  }
  const auto done = handle_request(client.fd(), message);
  if (!done) return send_to(client, make_frame(done.error()));
  // The answer to kStop is kExit, when it has ended.
  if (message.type != Frame::kStop) send_to(client, make_frame(Frame::kDone));
}

Result<> Monitor::handle_request(int client_fd, const Message& message) {
  switch (message.type) {
    case Frame::kSignal:
      return forward_signal(TRY(read_number(message.payload)));
    case Frame::kStop: {
      const StopRequest request = TRY(read_stop_request(message.payload));
      std::optional<std::chrono::milliseconds> grace;
      if (request.grace_ms >= 0) grace = std::chrono::milliseconds(request.grace_ms);
      return request_stop(request.signal, grace);
    }
    case Frame::kPause:
      return pause();
    case Frame::kResume:
      return resume();
    case kStart:
      return start_held(client_fd, message.payload);
    default:
      return fail(ErrorCode::kUnsupported, "the monitor does not know the request {}",
                  static_cast<int>(message.type));
  }
}

void Monitor::add_input(Client& client, std::string_view data) {
  size_t waiting = data.size();
  for (const PendingInput& input : input_) {
    if (input.client_fd == client.fd()) waiting += input.data.size();
  }
  if (waiting > kStdinWindow) return drop_client(client.fd());  // it does not keep to the protocol
  input_.push_back({.client_fd = client.fd(), .data = std::string(data), .done = 0});
  write_input();
}

// Writes what the container takes; gives the senders credit for it. Without a stdin everything is
// taken and dropped.
void Monitor::write_input() {
  // Between two lives it waits for the next one.
  while (!input_.empty() && life_) {
    PendingInput& input = input_.front();
    if (life_->to_stdin) {
      const ssize_t count = ::write(life_->to_stdin.get(), input.data.data() + input.done,
                                    input.data.size() - input.done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno == EAGAIN) break;
      if (count < 0) {
        close_input();
        continue;
      }
      input.done += static_cast<size_t>(count);
      if (input.done < input.data.size()) continue;
    }
    const auto credit = static_cast<int32_t>(input.data.size());
    Client* client = find_client(input.client_fd);
    input_.pop_front();
    if (client != nullptr) send_to(*client, make_frame(Frame::kCredit, credit));
  }
  if (input_ended_ && input_.empty() && life_ && life_->to_stdin) {
    constexpr char kEndOfFile = 4;  // what a terminal makes the end of input of
    if (record_.terminal) (void)!::write(life_->to_stdin.get(), &kEndOfFile, 1);
    close_input();
  }
  update_input_watch();
}

void Monitor::close_input() {
  if (!life_ || !life_->to_stdin) return;
  if (life_->stdin_watched) loop_.forget(life_->to_stdin.get());
  life_->stdin_watched = false;
  life_->to_stdin.reset();
}

void Monitor::update_input_watch() {
  if (!life_ || !life_->to_stdin) return;
  const bool wanted = !input_.empty();
  if (wanted == life_->stdin_watched) return;
  life_->stdin_watched = wanted;
  if (!wanted) return loop_.forget(life_->to_stdin.get());
  (void)loop_.watch(life_->to_stdin.get(), EPOLLOUT, [this](uint32_t) { write_input(); });
}

void Monitor::resize(WindowSize size) {
  window_ = size;
  if (life_ && record_.terminal && life_->from_stdout) {
    (void)set_terminal_size(life_->from_stdout.get(), size);
  }
}

void Monitor::drop_client(int fd) {
  Client* client = find_client(fd);
  if (client == nullptr) return;
  // Its caller was the container's only source of input and has not detached from it.
  const bool input_over = client->foreground() && !client->detached;
  loop_.forget(fd);
  clients_.remove_if([fd](const Client& other) { return other.fd() == fd; });
  for (PendingInput& input : input_) {
    if (input.client_fd == fd) input.client_fd = -1;
  }
  if (input_over) {
    input_ended_ = true;
    write_input();
  }
  resume_output();
}

void Monitor::send_to(Client& client, std::string_view frame) {
  const bool waited = client.waiting();
  const int fd = client.fd();
  if (!client.send(frame)) return drop_client(fd);
  if (!waited && client.waiting()) (void)loop_.change(fd, EPOLLIN | EPOLLOUT);
}

void Monitor::broadcast(std::string_view frame, bool output_only) {
  // By number: a client that is dropped on the way may take others with it.
  recipients_.clear();
  for (const Client& client : clients_) {
    if (!output_only || client.wants_output()) recipients_.push_back(client.fd());
  }
  for (const int fd : recipients_) {
    if (Client* client = find_client(fd)) send_to(*client, frame);
  }
}

// The last frame for everybody, those included who have just connected. The foreground client gets
// all that is left, however long it takes; the others have a few seconds together.
void Monitor::say_goodbye(std::string_view frame) {
  accept_clients();
  broadcast(frame, false);
  if (listener_) loop_.forget(listener_.get());
  listener_.reset();
  using Clock = EventLoop::Clock;
  const auto end = Clock::now() + std::chrono::seconds(5);
  for (Client& client : clients_) {
    while (client.waiting()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
      const int timeout = client.foreground() ? -1 : static_cast<int>(std::max<int64_t>(left, 0));
      pollfd ready{.fd = client.fd(), .events = POLLOUT, .revents = 0};
      const int count = ::poll(&ready, 1, timeout);
      if (count == 0 || (count < 0 && errno != EINTR)) break;
      client.flush();
    }
    loop_.forget(client.fd());
  }
  clients_.clear();
}

bool Monitor::foreground_waits() const {
  return std::ranges::any_of(
      clients_, [](const Client& client) { return client.foreground() && client.waiting(); });
}

}  // namespace trivet::monitor
