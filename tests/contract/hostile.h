// Words that must stay data on their way through shells and options.
#pragma once

#include <string>
#include <vector>

namespace trivet::transport {

inline std::vector<std::string> hostile_words() {
  std::string bytes;
  for (int c = 1; c < 256; ++c) bytes += static_cast<char>(c);
  return {"",
          " ",
          "two words",
          "$(touch /tmp/trivet-was-here)",
          "`touch /tmp/trivet-was-here`",
          "${HOME}",
          "$1 $@ $$",
          "; touch /tmp/trivet-was-here",
          "&& false || true & exit 7",
          "| cat > /tmp/trivet-was-here",
          "line\nbreak\n",
          "\n",
          "\r\ttab",
          "'",
          "''",
          "it's",
          "'\"'\"'",
          "\"double\"",
          "back\\slash\\",
          "\\",
          "\\'",
          "-",
          "--",
          "-oProxyCommand=touch /tmp/trivet-was-here",
          "--help",
          "*",
          "~root",
          "[a-z]?",
          "{a,b}",
          "a=b",
          "!history",
          "#comment",
          "%h %% %s %n",
          "héllo wörld ✓ 日本語",
          "\xff\xfe not UTF-8 \x80",
          bytes,
          std::string(100'000, 'x'),
          std::string(30'000, '\'')};
}

// Whether a word of those is not UTF-8.
inline bool is_binary(const std::string& word) {
  return word.find('\xff') != std::string::npos;
}

}  // namespace trivet::transport
