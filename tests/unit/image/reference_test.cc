#include "image/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::image {
namespace {

const std::string kHex(64, 'a');

TEST(Reference, FollowsDockersNaming) {
  const auto check = [](const char* text, const char* canonical, const char* familiar) {
    const auto reference = parse_reference(text);
    ASSERT_TRUE(reference) << text << ": " << reference.error().message();
    EXPECT_EQ(reference->canonical(), canonical);
    EXPECT_EQ(reference->familiar(), familiar);
    EXPECT_EQ(*parse_reference(reference->canonical()), *reference);
    EXPECT_EQ(*parse_reference(reference->familiar()), *reference);
  };
  check("busybox", "docker.io/library/busybox:latest", "busybox:latest");
  check("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36");
  check("team/app", "docker.io/team/app:latest", "team/app:latest");
  check("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest");
  check("index.docker.io/library/busybox", "docker.io/library/busybox:latest", "busybox:latest");
  check("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest");
  check("localhost/app", "localhost/app:latest", "localhost/app:latest");
  check("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1");
  check("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c:latest", "127.0.0.1:5000/a/b/c:latest");
  check("[::1]:5000/app", "[::1]:5000/app:latest", "[::1]:5000/app:latest");
  check("Host/app", "Host/app:latest", "Host/app:latest");
  check("quay.io/a__b/c-d.e_f--g", "quay.io/a__b/c-d.e_f--g:latest",
        "quay.io/a__b/c-d.e_f--g:latest");
}

TEST(Reference, ADigestNeedsNoTag) {
  const auto reference = parse_reference("busybox@sha256:" + kHex);
  ASSERT_TRUE(reference);
  EXPECT_EQ(reference->tag, "");
  EXPECT_EQ(reference->version(), "sha256:" + kHex);
  const auto both = parse_reference("busybox:1@sha256:" + kHex);
  EXPECT_EQ(both->tag, "1");
  EXPECT_EQ(both->version(), "sha256:" + kHex);
}

TEST(Reference, RefusesWhatIsNone) {
  const std::string long_name = "a/" + std::string(254, 'b');
  for (const std::string& bad : {std::string(),
                                 std::string("/"),
                                 std::string("a//b"),
                                 std::string("/a"),
                                 std::string("a/"),
                                 std::string("a..b"),
                                 std::string("a___b"),
                                 std::string("-a"),
                                 std::string("a-"),
                                 std::string("Busybox"),
                                 std::string("a:"),
                                 std::string("a:-x"),
                                 std::string("a:b:c"),
                                 std::string("a b"),
                                 std::string("a:t/../x"),
                                 std::string("../a"),
                                 std::string("a/../b"),
                                 std::string("host:port/a"),
                                 std::string("host:99999999/a"),
                                 std::string("-h.io/a"),
                                 std::string("[::1/a"),
                                 std::string("a@sha256:abc"),
                                 std::string("a@md5:") + kHex,
                                 std::string("a@"),
                                 "a@sha256:" + std::string(64, 'A'),
                                 kHex,
                                 long_name,
                                 "a:" + std::string(129, 't'),
                                 std::string("a\0b", 3),
                                 std::string("caf\xc3\xa9"),
                                 std::string(513, 'a')}) {
    const auto reference = parse_reference(bad);
    ASSERT_FALSE(reference) << bad;
    EXPECT_EQ(reference.error().code(), ErrorCode::kInvalidArgument) << bad;
    EXPECT_FALSE(reference.error().hint_text().empty()) << bad;
  }
}

}  // namespace
}  // namespace trivet::image
