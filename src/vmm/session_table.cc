#include "vmm/session_table.h"

namespace trivet::vmm {

namespace {

using guest::Frame;
using guest::FrameType;

// What has streams in both directions: a program that is entered, a container's own, a connection.
bool has_streams(FrameType begun) {
  return begun == FrameType::kExec || begun == FrameType::kCreate || begun == FrameType::kConnect;
}

// Of the frames that a guest may send in a session that was begun so.
bool is_expected(FrameType begun, FrameType type) {
  switch (type) {
    case FrameType::kFailed:
      return true;
    case FrameType::kAnswer:
      return begun == FrameType::kRequest;
    case FrameType::kDone:
    case FrameType::kCredit:
      return has_streams(begun) || begun == FrameType::kCopyIn;
    case FrameType::kStdout:
    case FrameType::kExit:
      return has_streams(begun) || begun == FrameType::kCopyOut;
    case FrameType::kStderr:
      return has_streams(begun);
    default:
      return false;
  }
}

bool ends(FrameType begun, FrameType type) {
  return type == FrameType::kFailed || type == FrameType::kAnswer || type == FrameType::kExit ||
         (type == FrameType::kDone && begun == FrameType::kCopyIn);
}

std::unexpected<Error> broken(std::string_view what, const Frame& frame) {
  return fail(ErrorCode::kCorrupt, "agent protocol: {} (frame of type {}, session {})", what,
              static_cast<unsigned>(frame.type), frame.session);
}

Result<> send_into(size_t& on_the_way, const Frame& frame) {
  on_the_way += frame.payload.size();
  if (on_the_way > guest::kStreamWindow) return broken("more data than there is room for", frame);
  return {};
}

Result<> take_from(size_t& on_the_way, uint32_t bytes, const Frame& frame) {
  if (bytes > on_the_way) return broken("credit for more than was sent", frame);
  on_the_way -= bytes;
  return {};
}

}  // namespace

bool begins_session(FrameType type) {
  return type == FrameType::kCreate || type == FrameType::kExec || type == FrameType::kRequest ||
         type == FrameType::kCopyIn || type == FrameType::kCopyOut || type == FrameType::kConnect;
}

Result<uint32_t> SessionTable::begin(ClientId client, const Frame& frame) {
  if (by_client_.contains({client, frame.session})) return broken("the session exists", frame);
  // Two numbers are the agent's and the container's own.
  if (sessions_.size() + 2 >= guest::kMaxSessions) {
    return fail(ErrorCode::kLimitExceeded, "the virtual machine has too many sessions at once");
  }
  while (next_ < first_ || sessions_.contains(next_)) ++next_;
  const uint32_t number = next_++;
  sessions_[number] = {.client = client, .client_session = frame.session, .kind = frame.type};
  by_client_[{client, frame.session}] = number;
  return number;
}

Result<std::optional<uint32_t>> SessionTable::from_client(ClientId client, const Frame& frame) {
  if (frame.session < guest::kFirstRequestSession) return broken("not a client's session", frame);
  if (begins_session(frame.type)) return TRY(begin(client, frame));
  const auto found = by_client_.find({client, frame.session});
  if (found == by_client_.end()) return std::nullopt;
  TRY(note_from_client(sessions_.at(found->second), frame));
  return found->second;
}

Result<> SessionTable::note_from_client(Session& session, const Frame& frame) {
  const bool streams = has_streams(session.kind);
  switch (frame.type) {
    case FrameType::kStdin:
      if (!streams && session.kind != FrameType::kCopyIn) break;
      return send_into(session.input, frame);
    case FrameType::kStdinEof:
      if (!streams && session.kind != FrameType::kCopyIn) break;
      return {};
    case FrameType::kSignal:
    case FrameType::kResize:
      if (!streams) break;
      return {};
    case FrameType::kStart:
      if (session.kind != FrameType::kCreate) break;
      return {};
    case FrameType::kAbandon:
      return {};
    case FrameType::kCredit: {
      const guest::Credit credit = TRY(guest::read_credit(frame.payload));
      if (credit.stream == FrameType::kStdout)
        return take_from(session.output, credit.bytes, frame);
      if (credit.stream == FrameType::kStderr)
        return take_from(session.errors, credit.bytes, frame);
      break;
    }
    default:
      break;
  }
  return broken("a frame that makes no sense here", frame);
}

Result<> SessionTable::note_from_guest(Session& session, const Frame& frame) {
  if (frame.type == FrameType::kStdout) return send_into(session.output, frame);
  if (frame.type == FrameType::kStderr) return send_into(session.errors, frame);
  if (frame.type != FrameType::kCredit) return {};
  const guest::Credit credit = TRY(guest::read_credit(frame.payload));
  if (credit.stream != FrameType::kStdin) return broken("credit for no stream", frame);
  return take_from(session.input, credit.bytes, frame);
}

Result<SessionTable::Target> SessionTable::from_guest(const Frame& frame) {
  const auto found = sessions_.find(frame.session);
  if (found == sessions_.end()) return broken("there is no such session", frame);
  Session& session = found->second;
  if (!is_expected(session.kind, frame.type)) return broken("an unexpected frame", frame);
  TRY(note_from_guest(session, frame));
  Target target{.client = session.client, .session = session.client_session};
  target.ended = ends(session.kind, frame.type);
  if (!session.client) session.output = session.errors = 0;  // what nobody reads is taken at once
  if (!target.ended) return target;
  if (session.client) by_client_.erase({*session.client, session.client_session});
  sessions_.erase(found);
  return target;
}

std::vector<uint32_t> SessionTable::drop_client(ClientId client) {
  std::vector<uint32_t> dropped;
  for (auto& [number, session] : sessions_) {
    if (session.client != client) continue;
    dropped.push_back(number);
    session.client.reset();
    by_client_.erase({client, session.client_session});
  }
  return dropped;
}

}  // namespace trivet::vmm
