#include "pod/dns/message.h"

#include <algorithm>

namespace trivet::dns {

namespace {

constexpr size_t kHeader = 12;
constexpr size_t kMaxName = 255;
constexpr size_t kMaxLabel = 63;
constexpr uint32_t kTimeToLive = 60;  // seconds: a pod's names do not change
constexpr unsigned kIsAnswer = 0x8000;
constexpr unsigned kOperation = 0x7800;
constexpr unsigned kAuthoritative = 0x0400;
constexpr unsigned kRecursionDesired = 0x0100;
constexpr unsigned kRecursionAvailable = 0x0080;

// Reads from the front of a message.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  [[nodiscard]] size_t left() const { return rest_.size(); }
  Result<std::string_view> take(size_t size) {
    if (rest_.size() < size) return fail(ErrorCode::kCorrupt, "the message ends too soon");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  Result<uint16_t> take_number() {
    const std::string_view bytes = TRY(take(2));
    return static_cast<uint16_t>(static_cast<uint8_t>(bytes[0]) << 8U |
                                 static_cast<uint8_t>(bytes[1]));
  }
  Result<std::vector<std::string>> take_name() {
    std::vector<std::string> labels;
    const size_t before = rest_.size();
    for (;;) {
      const auto size = static_cast<uint8_t>(TRY(take(1))[0]);
      if (size == 0) return labels;
      if (size > kMaxLabel) return fail(ErrorCode::kCorrupt, "a name is compressed");
      std::string label(TRY(take(size)));
      std::ranges::transform(label, label.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      labels.push_back(std::move(label));
      if (before - rest_.size() >= kMaxName) return fail(ErrorCode::kCorrupt, "a name is too long");
    }
  }

 private:
  std::string_view rest_;
};

void append(std::string& out, unsigned number) {
  out += static_cast<char>(number >> 8U);
  out += static_cast<char>(number);
}

unsigned number_at(std::string_view message, size_t offset) {
  return static_cast<unsigned>(static_cast<uint8_t>(message[offset])) << 8U |
         static_cast<uint8_t>(message[offset + 1]);
}

std::string print_header(uint16_t id, unsigned flags, unsigned questions, unsigned answers) {
  std::string out;
  for (const unsigned number : {unsigned{id}, flags, questions, answers, 0U, 0U})
    append(out, number);
  return out;
}

unsigned answer_flags(const Query& query) {
  return kIsAnswer | kRecursionAvailable | (query.recursion_desired ? kRecursionDesired : 0U);
}

// EDNS and signatures; what they say concerns the server that the query may go on to.
Result<> skip_records(Reader& reader, unsigned count) {
  constexpr size_t kFixed = 8;  // type, class and time to live
  for (unsigned i = 0; i < count; ++i) {
    TRY(reader.take_name());
    TRY(reader.take(kFixed));
    TRY(reader.take(TRY(reader.take_number())));
  }
  return {};
}

}  // namespace

Result<Query> parse_query(std::string_view message) {
  Reader reader(message);
  Query query {
    .id = TRY(reader.take_number())
  };
  const unsigned flags = TRY(reader.take_number());
  if ((flags & kIsAnswer) != 0) return fail(ErrorCode::kCorrupt, "the message is no query");
  if ((flags & kOperation) != 0) return fail(ErrorCode::kUnsupported, "not a standard query");
  query.recursion_desired = (flags & kRecursionDesired) != 0;
  const unsigned questions = TRY(reader.take_number());
  const unsigned answers = TRY(reader.take_number());
  const unsigned authorities = TRY(reader.take_number());
  const unsigned additional = TRY(reader.take_number());
  if (questions != 1 || answers != 0 || authorities != 0) {
    return fail(ErrorCode::kCorrupt, "a query has one question and no answer");
  }
  query.labels = TRY(reader.take_name());
  query.type = TRY(reader.take_number());
  query.class_number = TRY(reader.take_number());
  query.question = message.substr(kHeader, message.size() - kHeader - reader.left());
  TRY(skip_records(reader, additional));
  if (reader.left() != 0) return fail(ErrorCode::kCorrupt, "something follows the message");
  return query;
}

std::optional<std::string> answer_refused(std::string_view message, Code code) {
  if (message.size() < kHeader || (number_at(message, 2) & kIsAnswer) != 0) return std::nullopt;
  const unsigned operation = number_at(message, 2) & kOperation;
  return print_header(static_cast<uint16_t>(number_at(message, 0)),
                      kIsAnswer | operation | static_cast<unsigned>(code), 0, 0);
}

std::string print_failure(const Query& query, Code code) {
  return print_header(query.id, answer_flags(query) | static_cast<unsigned>(code), 1, 0) +
         query.question;
}

std::string print_answer(const Query& query, std::optional<uint32_t> address) {
  std::string out =
      print_header(query.id, answer_flags(query) | kAuthoritative, 1, address ? 1 : 0) +
      query.question;
  if (!address) return out;
  constexpr unsigned kQuestionsName = 0xc000U + kHeader;  // by reference
  append(out, kQuestionsName);
  append(out, kTypeA);
  append(out, kClassInternet);
  append(out, kTimeToLive >> 16U);
  append(out, kTimeToLive & 0xffffU);
  append(out, sizeof *address);
  append(out, *address >> 16U);
  append(out, *address & 0xffffU);
  return out;
}

bool is_answer(std::string_view message, uint16_t id, std::string_view question) {
  return message.size() >= kHeader + question.size() && number_at(message, 0) == id &&
         (number_at(message, 2) & kIsAnswer) != 0 && number_at(message, 4) == 1 &&
         message.substr(kHeader, question.size()) == question;
}

std::string with_id(std::string_view message, uint16_t id) {
  std::string out;
  append(out, id);
  return out.append(message.substr(2));
}

}  // namespace trivet::dns
