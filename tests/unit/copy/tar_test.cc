#include "copy/tar.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::copy {
namespace {

using testing::HasSubstr;

Source source_of(std::string bytes, size_t piece = 700) {
  return [bytes = std::move(bytes), at = size_t{0}, piece](char* buffer,
                                                           size_t size) mutable -> Result<size_t> {
    const size_t count = std::min({size, piece, bytes.size() - at});
    std::memcpy(buffer, bytes.data() + at, count);
    at += count;
    return count;
  };
}

std::string archive(const TarEntry& entry, const std::string& content = "") {
  return print_tar_header(entry) + content + std::string(tar_padding(content.size())) +
         std::string(tar_end());
}

TarEntry reread(const TarEntry& entry) {
  TarReader reader(source_of(archive(entry, std::string(entry.size, 'x'))));
  const auto read = reader.next();
  EXPECT_TRUE(read && *read) << (read ? "" : read.error().message());
  return read && *read ? **read : TarEntry{};
}

std::string error_of(const std::string& bytes) {
  TarReader reader(source_of(bytes));
  for (;;) {
    const auto entry = reader.next();
    if (!entry) return entry.error().message();
    if (!*entry) return "";
  }
}

TEST(Tar, WhatIsPrintedIsReadAsTheSame) {
  const TarEntry entry{.type = TarEntry::Type::kFile,
                       .path = "a/b",
                       .mode = 04751,
                       .uid = 1000,
                       .gid = 4000000000,
                       .size = 1234,
                       .mtime = 1700000000,
                       .mtime_ns = 123};
  const TarEntry again = reread(entry);
  EXPECT_EQ(again.path, entry.path);
  EXPECT_EQ(again.mode, entry.mode);
  EXPECT_EQ(again.uid, entry.uid);
  EXPECT_EQ(again.gid, entry.gid);
  EXPECT_EQ(again.size, entry.size);
  EXPECT_EQ(again.mtime, entry.mtime);
  EXPECT_EQ(again.mtime_ns, entry.mtime_ns);
}

TEST(Tar, LongNamesAndTargets) {
  const std::string path = std::string(200, 'a') + "/" + std::string(250, 'b');
  const TarEntry entry{
      .type = TarEntry::Type::kSymlink, .path = path, .target = std::string(3000, 't')};
  EXPECT_EQ(reread(entry).path, path);
  EXPECT_EQ(reread(entry).target, entry.target);
}

TEST(Tar, NamesAreBytes) {
  const std::string path = "not \xFF utf-8 \n";
  EXPECT_EQ(reread({.path = path}).path, path);
  EXPECT_EQ(reread({.path = path + std::string(200, '\xFE')}).path,
            path + std::string(200, '\xFE'));
}

TEST(Tar, DevicesAndOldTimes) {
  const TarEntry again = reread({.type = TarEntry::Type::kBlockDevice,
                                 .path = "disk",
                                 .mtime = -5,
                                 .major = 253,
                                 .minor = 1048575});
  EXPECT_EQ(again.type, TarEntry::Type::kBlockDevice);
  EXPECT_EQ(again.major, 253U);
  EXPECT_EQ(again.minor, 1048575U);
  EXPECT_EQ(again.mtime, -5);
}

TEST(Tar, ContentIsReadOrSkipped) {
  std::string bytes;
  for (const size_t size : {0U, 1U, 511U, 512U, 513U, 70000U}) {
    bytes += print_tar_header({.path = "f", .size = size}) + std::string(size, 'x') +
             std::string(tar_padding(size));
  }
  bytes += tar_end();
  TarReader reader(source_of(bytes));
  for (const size_t size : {0U, 1U, 511U, 512U, 513U, 70000U}) {
    ASSERT_EQ((*reader.next())->size, size);
    if (size % 2 == 0) continue;
    std::string content;
    for (;;) {
      const auto piece = reader.read();
      ASSERT_TRUE(piece);
      if (piece->empty()) break;
      content += *piece;
    }
    EXPECT_EQ(content, std::string(size, 'x'));
  }
  EXPECT_FALSE(*reader.next());
  EXPECT_FALSE(*reader.next());
}

TEST(Tar, HostileStreamsAreRefused) {
  const std::string good = archive({.path = "file", .size = 100}, std::string(100, 'x'));
  for (const size_t size : {0U, 1U, 511U, 512U, 600U, 1023U}) {
    EXPECT_THAT(error_of(good.substr(0, size)), HasSubstr("middle")) << size;
  }
  std::string changed = good;
  changed[0] = 'F';
  EXPECT_THAT(error_of(changed), HasSubstr("checksum"));
  EXPECT_THAT(error_of(archive({.path = "/etc/passwd"})), HasSubstr("absolute"));
  EXPECT_THAT(error_of(archive({.path = "a/../../b"})), HasSubstr(".."));
  EXPECT_THAT(error_of(archive({.path = ""})), HasSubstr("name"));
  EXPECT_THAT(error_of(archive({.path = std::string(5000, 'x')})), HasSubstr("name"));
  std::string deep;
  for (int i = 0; i < 1100; ++i) deep += "d/";
  EXPECT_THAT(error_of(archive({.path = deep})), HasSubstr("deep"));
  EXPECT_THAT(error_of(archive({.type = TarEntry::Type::kHardLink, .path = "a", .target = "../b"})),
              HasSubstr(".."));
  EXPECT_THAT(error_of(archive({.type = TarEntry::Type::kSymlink, .path = "a", .target = ""})),
              HasSubstr("target"));
  EXPECT_THAT(error_of(archive({.type = TarEntry::Type::kDirectory, .path = "a", .size = 5})),
              HasSubstr("content"));
}

}  // namespace
}  // namespace trivet::copy
