#include "guest/protocol.h"

#include <algorithm>
#include <cstring>

namespace trivet::guest {

namespace {

constexpr size_t kLargestReserve = 1U << 20U;  // kept by a reader that is empty

void put_u32(char* out, uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) out[i] = static_cast<char>(value >> (8 * i));
}

uint32_t get_u32(const char* in) {
  uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(in[i])) << (8 * i);
  }
  return value;
}

void put_u16(char* out, uint16_t value) {
  out[0] = static_cast<char>(value & 0xFFU);
  out[1] = static_cast<char>(value >> 8U);
}

uint16_t get_u16(const char* in) {
  return static_cast<uint16_t>(static_cast<unsigned char>(in[0]) |
                               static_cast<unsigned>(static_cast<unsigned char>(in[1])) << 8U);
}

// What a type demands of its frames.
struct Rule {
  FrameType type;
  size_t max_size;
  uint32_t first_session;
  uint32_t last_session;
};

constexpr size_t kNumberSize = 4;
constexpr size_t kResizeSize = 4;
constexpr size_t kCreditSize = 5;
constexpr size_t kExitSize = 2;

constexpr auto kToGuestRules = std::to_array<Rule>({
    {FrameType::kWake, kMaxDocument, kAgentSession, kAgentSession},
    {FrameType::kCreate, kMaxDocument, kInitSession, UINT32_MAX},
    {FrameType::kAdopt, kMaxDocument, kInitSession, kInitSession},
    {FrameType::kStart, 0, kInitSession, UINT32_MAX},
    {FrameType::kExec, kMaxDocument, kFirstRequestSession, UINT32_MAX},
    {FrameType::kRequest, kMaxDocument, kFirstRequestSession, UINT32_MAX},
    {FrameType::kCopyIn, kMaxDocument, kFirstRequestSession, UINT32_MAX},
    {FrameType::kCopyOut, kMaxDocument, kFirstRequestSession, UINT32_MAX},
    {FrameType::kConnect, kMaxDocument, kFirstRequestSession, UINT32_MAX},
    {FrameType::kStdin, kMaxData, kInitSession, UINT32_MAX},
    {FrameType::kStdinEof, 0, kInitSession, UINT32_MAX},
    {FrameType::kSignal, kNumberSize, kInitSession, UINT32_MAX},
    {FrameType::kResize, kResizeSize, kInitSession, UINT32_MAX},
    {FrameType::kAbandon, 0, kInitSession, UINT32_MAX},
    {FrameType::kCredit, kCreditSize, kInitSession, UINT32_MAX},
});

constexpr auto kToHostRules = std::to_array<Rule>({
    {FrameType::kReady, kMaxAnswer, kAgentSession, kAgentSession},
    {FrameType::kAwake, 0, kAgentSession, kAgentSession},
    {FrameType::kDone, 0, kInitSession, UINT32_MAX},
    {FrameType::kFailed, kMaxAnswer, kAgentSession, UINT32_MAX},
    {FrameType::kAnswer, kMaxAnswer, kFirstRequestSession, UINT32_MAX},
    {FrameType::kStdout, kMaxData, kInitSession, UINT32_MAX},
    {FrameType::kStderr, kMaxData, kInitSession, UINT32_MAX},
    {FrameType::kExit, kExitSize, kInitSession, UINT32_MAX},
    {FrameType::kCredit, kCreditSize, kInitSession, UINT32_MAX},
});

const Rule* find_rule(Direction direction, FrameType type) {
  const auto search = [type](const auto& rules) -> const Rule* {
    const auto found = std::ranges::find(rules, type, &Rule::type);
    return found == rules.end() ? nullptr : &*found;
  };
  return direction == Direction::kToGuest ? search(kToGuestRules) : search(kToHostRules);
}

bool names_container(FrameType type) {
  return type == FrameType::kCreate || type == FrameType::kExec || type == FrameType::kRequest ||
         type == FrameType::kCopyIn || type == FrameType::kCopyOut;
}

// The machine's own container is made in its own session, and no other.
bool is_container_valid(const Header& header) {
  if (header.container > kMaxContainers) return false;
  if (header.container != 0 && !names_container(header.type)) return false;
  return header.type != FrameType::kCreate ||
         (header.container == 0) == (header.session == kInitSession);
}

Result<> check_header(const Header& header, Direction direction) {
  const auto type = static_cast<unsigned>(header.type);
  const Rule* rule = find_rule(direction, header.type);
  if (rule == nullptr) return fail(ErrorCode::kCorrupt, "agent protocol: frame of type {}", type);
  if (header.size > rule->max_size) {
    return fail(ErrorCode::kCorrupt, "agent protocol: frame of type {} with {} bytes", type,
                header.size);
  }
  if (header.session < rule->first_session || header.session > rule->last_session) {
    return fail(ErrorCode::kCorrupt, "agent protocol: frame of type {} in session {}", type,
                header.session);
  }
  if (!is_container_valid(header)) {
    return fail(ErrorCode::kCorrupt, "agent protocol: frame of type {} for container {}", type,
                unsigned{header.container});
  }
  return {};
}

Result<> check_size(std::string_view payload, size_t expected, std::string_view what) {
  if (payload.size() == expected) return {};
  return fail(ErrorCode::kCorrupt, "agent protocol: {} of {} bytes", what, payload.size());
}

}  // namespace

std::array<char, kHeaderSize> print_header(const Header& header) {
  std::array<char, kHeaderSize> out{};
  put_u32(out.data(), header.size);
  put_u32(out.data() + 4, header.session);
  out[8] = static_cast<char>(header.type);
  out[9] = static_cast<char>(header.container);
  return out;
}

std::string make_frame(FrameType type, uint32_t session, std::string_view payload,
                       uint8_t container) {
  const auto header = print_header({.size = static_cast<uint32_t>(payload.size()),
                                    .session = session,
                                    .type = type,
                                    .container = container});
  std::string frame;
  frame.reserve(header.size() + payload.size());
  frame.append(header.data(), header.size());
  frame.append(payload);
  return frame;
}

std::string make_number_frame(FrameType type, uint32_t session, uint32_t number) {
  std::array<char, kNumberSize> payload{};
  put_u32(payload.data(), number);
  return make_frame(type, session, {payload.data(), payload.size()});
}

std::string make_credit(uint32_t session, FrameType stream, uint32_t bytes) {
  std::array<char, kCreditSize> payload{static_cast<char>(stream)};
  put_u32(payload.data() + 1, bytes);
  return make_frame(FrameType::kCredit, session, {payload.data(), payload.size()});
}

std::string make_resize(uint32_t session, uint16_t rows, uint16_t columns) {
  std::array<char, kResizeSize> payload{};
  put_u16(payload.data(), rows);
  put_u16(payload.data() + 2, columns);
  return make_frame(FrameType::kResize, session, {payload.data(), payload.size()});
}

std::string make_exit(uint32_t session, const Exit& exit) {
  const std::array<char, kExitSize> payload{static_cast<char>(exit.code),
                                            static_cast<char>(exit.oom_killed ? 1 : 0)};
  return make_frame(FrameType::kExit, session, {payload.data(), payload.size()});
}

Result<uint32_t> read_number(std::string_view payload) {
  TRY(check_size(payload, kNumberSize, "a number"));
  return get_u32(payload.data());
}

Result<Credit> read_credit(std::string_view payload) {
  TRY(check_size(payload, kCreditSize, "a credit"));
  const auto stream = static_cast<FrameType>(payload[0]);
  if (stream != FrameType::kStdin && stream != FrameType::kStdout && stream != FrameType::kStderr) {
    return fail(ErrorCode::kCorrupt, "agent protocol: credit for what is no stream");
  }
  const uint32_t bytes = get_u32(payload.data() + 1);
  if (bytes == 0 || bytes > kStreamWindow) {
    return fail(ErrorCode::kCorrupt, "agent protocol: credit of {} bytes", bytes);
  }
  return Credit{.stream = stream, .bytes = bytes};
}

Result<WindowSize> read_resize(std::string_view payload) {
  TRY(check_size(payload, kResizeSize, "a window size"));
  return WindowSize{.rows = get_u16(payload.data()), .columns = get_u16(payload.data() + 2)};
}

Result<Exit> read_exit(std::string_view payload) {
  TRY(check_size(payload, kExitSize, "an exit"));
  const auto flag = static_cast<unsigned char>(payload[1]);
  if (flag > 1) return fail(ErrorCode::kCorrupt, "agent protocol: an exit with flag {}", flag);
  return Exit{.code = static_cast<uint8_t>(payload[0]), .oom_killed = flag == 1};
}

// The buffer grows with what has been received, never with what a header announces.
char* FrameReader::space(size_t at_least) {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (buffer_.size() > kLargestReserve) std::string().swap(buffer_);
  }
  if (buffer_.size() - end_ < at_least && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < at_least) {
    buffer_.resize(std::max(end_ + at_least, end_ + end_ / 2));
  }
  return buffer_.data() + end_;
}

size_t FrameReader::space_size() const {
  return buffer_.size() - end_;
}

void FrameReader::added(size_t count) {
  end_ += std::min(count, space_size());
}

Result<std::optional<Frame>> FrameReader::next() {
  if (end_ - begin_ < kHeaderSize) return std::nullopt;
  const char* at = buffer_.data() + begin_;
  const Header header{.size = get_u32(at),
                      .session = get_u32(at + 4),
                      .type = static_cast<FrameType>(at[8]),
                      .container = static_cast<uint8_t>(at[9])};
  if (at[10] != 0 || at[11] != 0) {
    return fail(ErrorCode::kCorrupt, "agent protocol: a header with reserved bytes");
  }
  TRY(check_header(header, direction_));
  if (end_ - begin_ - kHeaderSize < header.size) return std::nullopt;
  begin_ += kHeaderSize + header.size;
  return Frame{.type = header.type,
               .session = header.session,
               .payload = {at + kHeaderSize, header.size},
               .container = header.container};
}

}  // namespace trivet::guest
