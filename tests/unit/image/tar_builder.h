// Builds tars byte by byte, so that tests can make what no honest tool would write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace trivet::image::testing {

struct Member {
  std::string name;
  char type = '0';
  std::string content;
  std::string link;
  unsigned mode = 0644;
  unsigned uid = 0;
  unsigned gid = 0;
  unsigned mtime = 1000000000;
  unsigned major = 0;
  unsigned minor = 0;
  std::string raw_size;  // twelve bytes instead of the size of the content
};

class TarBuilder {
 public:
  TarBuilder& add(const Member& member) {
    tar_ += header(member);
    tar_ += member.content;
    tar_.resize((tar_.size() + 511) / 512 * 512, '\0');
    return *this;
  }
  TarBuilder& file(const std::string& name, const std::string& content, unsigned mode = 0644) {
    return add({.name = name, .content = content, .mode = mode});
  }
  TarBuilder& directory(const std::string& name, unsigned mode = 0755) {
    return add({.name = name, .type = '5', .mode = mode});
  }
  TarBuilder& symlink(const std::string& name, const std::string& target) {
    return add({.name = name, .type = '2', .link = target, .mode = 0777});
  }
  TarBuilder& hard_link(const std::string& name, const std::string& target) {
    return add({.name = name, .type = '1', .link = target});
  }
  // An extension header with one record for the next member.
  TarBuilder& pax(std::string_view key, std::string_view value) {
    return add({.name = "pax", .type = 'x', .content = record(key, value)});
  }
  TarBuilder& raw(std::string_view bytes) {
    tar_ += bytes;
    return *this;
  }
  // With the two blocks of zeros that end an archive.
  [[nodiscard]] std::string end() const { return tar_ + std::string(1024, '\0'); }
  [[nodiscard]] const std::string& unfinished() const { return tar_; }

  static std::string record(std::string_view key, std::string_view value) {
    const std::string rest = " " + std::string(key) + "=" + std::string(value) + "\n";
    size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    return std::to_string(length) + rest;
  }

  static std::string header(const Member& member) {
    std::string block(512, '\0');
    put(block, 0, member.name.substr(0, 100));
    put(block, 100, octal(member.mode, 7));
    put(block, 108, octal(member.uid, 7));
    put(block, 116, octal(member.gid, 7));
    put(block, 124, member.raw_size.empty() ? octal(member.content.size(), 11) : member.raw_size);
    put(block, 136, octal(member.mtime, 11));
    block[156] = member.type;
    put(block, 157, member.link.substr(0, 100));
    put(block, 257,
        std::string("ustar\0"
                    "00",
                    8));
    put(block, 329, octal(member.major, 7));
    put(block, 337, octal(member.minor, 7));
    put(block, 148, "        ");
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put(block, 148, octal(sum, 6) + std::string("\0 ", 2));
    return block;
  }

 private:
  static void put(std::string& block, size_t at, const std::string& text) {
    block.replace(at, text.size(), text);
  }
  static std::string octal(uint64_t value, size_t digits) {
    std::string text(digits, '0');
    for (size_t i = digits; i-- > 0 && value > 0; value /= 8) {
      text[i] = static_cast<char>('0' + value % 8);
    }
    return text;
  }

  std::string tar_;
};

}  // namespace trivet::image::testing
