#include "linux/bit_list.h"

#include <bit>

#include "base/text.h"

namespace trivet {

namespace {

constexpr int64_t kLimit = 8192;
constexpr int64_t kWordBits = 64;

}  // namespace

Result<std::vector<uint64_t>> parse_bit_list(std::string_view text) {
  const auto wrong = [&] {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no list such as \"0-3,7\"", text);
  };
  std::vector<uint64_t> words;
  for (const std::string& part : split(text, ',')) {
    const size_t dash = part.find('-');
    const auto first = parse_int(trim(std::string_view(part).substr(0, dash)));
    const auto last = dash == std::string::npos
                          ? first
                          : parse_int(trim(std::string_view(part).substr(dash + 1)));
    if (!first || !last || *first < 0 || *last < *first || *last >= kLimit) return wrong();
    if (words.size() <= static_cast<size_t>(*last / kWordBits)) words.resize(*last / kWordBits + 1);
    for (int64_t bit = *first; bit <= *last; ++bit) {
      words[bit / kWordBits] |= uint64_t{1} << (bit % kWordBits);
    }
  }
  return words;
}

uint64_t count_bits(const std::vector<uint64_t>& words) {
  uint64_t count = 0;
  for (const uint64_t word : words) count += static_cast<uint64_t>(std::popcount(word));
  return count;
}

}  // namespace trivet
