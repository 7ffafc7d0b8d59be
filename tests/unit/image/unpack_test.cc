// Layers, honest and hostile.
#include "image/unpack.h"

#include <sys/sysmacros.h>

#include "image/unpack_gate.h"
#include "store_fixture.h"
#include "tar_builder.h"

namespace trivet::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ok;
using testing::TarBuilder;

class UnpackTest : public testing::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    // A place that an escape would be seen at.
    ASSERT_EQ(mkdir(outside().c_str(), 0755), 0);
  }
  [[nodiscard]] std::string outside() const { return path("outside"); }
  void expect_untouched() {
    EXPECT_THAT(*list_dir(AT_FDCWD, outside()), ::testing::IsEmpty());
    EXPECT_THAT(*list_dir(AT_FDCWD, path("")), ElementsAre("data", "outside"));
  }
  std::string gzip(const std::string& content) {
    return run_program({"gzip", "-nc"}, {.stdin_text = content})->stdout_text;
  }
  std::string zstd(const std::string& content) {
    return run_program({"zstd", "-qc"}, {.stdin_text = content})->stdout_text;
  }
};

// --- what a layer may hold

TEST_F(UnpackTest, KeepsFilesAndTheirAttributes) {
  const std::string tar =
      TarBuilder()
          .directory("./", 0750)
          .directory("d", 0500)
          .file("d/f", "hello", 0640)
          .symlink("d/s", "../d/f")
          .hard_link("d/h", "d/f")
          .add({.name = "d/p", .type = '6', .mode = 0622})
          .add({.name = "null", .type = '3', .mode = 0666, .major = 1, .minor = 3})
          .add({.name = "su", .content = "x", .mode = 04755, .uid = 7, .gid = 8})
          .add({.name = "sticky", .type = '5', .mode = 01777, .mtime = 5})
          .end();
  ASSERT_TRUE(ok(unpack(tar)));
  const std::string id = digest_of(tar);
  EXPECT_EQ(content_of(diff(id, "d/f")), "hello");
  EXPECT_EQ(status_of(diff(id)).st_mode & 07777, 0750U);
  EXPECT_EQ(status_of(diff(id, "d")).st_mode & 07777, 0500U);
  EXPECT_EQ(status_of(diff(id, "d")).st_mtime, 1000000000);
  EXPECT_EQ(status_of(diff(id, "d/f")).st_mode & 07777, 0640U);
  EXPECT_EQ(status_of(diff(id, "d/f")).st_nlink, 2U);
  EXPECT_EQ(status_of(diff(id, "d/f")).st_ino, status_of(diff(id, "d/h")).st_ino);
  EXPECT_TRUE(S_ISLNK(status_of(diff(id, "d/s")).st_mode));
  EXPECT_EQ(status_of(diff(id, "d/s")).st_mtime, 1000000000);
  EXPECT_TRUE(S_ISFIFO(status_of(diff(id, "d/p")).st_mode));
  EXPECT_EQ(status_of(diff(id, "null")).st_rdev, makedev(1, 3));
  EXPECT_EQ(status_of(diff(id, "su")).st_mode & 07777, 04755U);
  EXPECT_EQ(status_of(diff(id, "su")).st_uid, 7U);
  EXPECT_EQ(status_of(diff(id, "su")).st_gid, 8U);
  EXPECT_EQ(status_of(diff(id, "sticky")).st_mode & 07777, 01777U);
  EXPECT_EQ(status_of(diff(id, "sticky")).st_mtime, 5);
}

TEST_F(UnpackTest, TakesGzipAndZstdAndAnyBytesAsNames) {
  const std::string tar = TarBuilder()
                              .file("plain", "1")
                              .file("latin\xe9", "2")
                              .pax("path",
                                   "gr\xc3\xbc\xc3\x9f"
                                   "e")
                              .file("x", "3")
                              .pax("path", "bad\xff")
                              .file("y", "4")
                              .end();
  const std::string other = TarBuilder().file("z", "zstd").end();
  ASSERT_TRUE(ok(unpack_blob(gzip(tar), digest_of(tar))));
  ASSERT_TRUE(ok(unpack_blob(zstd(other), digest_of(other))));
  EXPECT_EQ(content_of(diff(digest_of(tar), "latin\xe9")), "2");
  EXPECT_EQ(content_of(diff(digest_of(tar),
                            "gr\xc3\xbc\xc3\x9f"
                            "e")),
            "3");
  EXPECT_EQ(content_of(diff(digest_of(tar), "bad\xff")), "4");
  EXPECT_EQ(content_of(diff(digest_of(other), "z")), "zstd");
}

TEST_F(UnpackTest, KeepsUserAttributesAndCapabilities) {
  const std::string capability(
      "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  const std::string tar = TarBuilder()
                              .pax("SCHILY.xattr.user.colour", std::string("a\0b", 3))
                              .file("f", "x")
                              .pax("SCHILY.xattr.security.capability", capability)
                              .file("ping", "x")
                              .pax("SCHILY.xattr.security.selinux", "label")
                              .file("labelled", "x")
                              .end();
  ASSERT_TRUE(ok(unpack(tar)));
  EXPECT_EQ(attribute(diff(digest_of(tar), "f"), "user.colour"), std::string("a\0b", 3));
  EXPECT_EQ(attribute(diff(digest_of(tar), "ping"), "security.capability"), capability);
  EXPECT_EQ(attribute(diff(digest_of(tar), "labelled"), "security.selinux"), "");
}

TEST_F(UnpackTest, KeepsHoles) {
  testing::TemporaryDirectory source;
  ASSERT_TRUE(
      run_program({"sh", "-c",
                   "cd " + source.path() +
                       " && truncate -s 64M a && printf end >> a && truncate -s 1M b &&"
                       " tar --format=gnu -Scf gnu.tar a b && tar --format=pax -Scf pax.tar a b"})
          ->ok());
  for (const char* name : {"/gnu.tar", "/pax.tar"}) {
    const std::string tar = *read_file(source.path() + name);
    ASSERT_LT(tar.size(), 1U << 20U);
    ASSERT_TRUE(ok(unpack(tar))) << name;
    const struct stat status = status_of(diff(digest_of(tar), "a"));
    EXPECT_EQ(status.st_size, (64 << 20) + 3);
    EXPECT_LT(status.st_blocks * 512, 1 << 20);
    EXPECT_EQ(status_of(diff(digest_of(tar), "b")).st_size, 1 << 20);
    EXPECT_THAT(*run_program({"tail", "-c3", diff(digest_of(tar), "a")}),
                ::testing::Field(&Output::stdout_text, "end"));
  }
}

TEST_F(UnpackTest, LaterEntriesWin) {
  const std::string tar = TarBuilder()
                              .file("f", "first")
                              .file("f", "second")
                              .directory("was-directory")
                              .file("was-directory/inside", "x")
                              .file("was-directory", "now a file")
                              .file("was-file", "x")
                              .directory("was-file", 0700)
                              .file("was-file/inside", "y")
                              .symlink("was-link", "was-file")
                              .directory("was-link")
                              .directory("twice", 0700)
                              .file("twice/kept", "z")
                              .directory("twice", 0711)
                              .end();
  ASSERT_TRUE(ok(unpack(tar)));
  const std::string id = digest_of(tar);
  EXPECT_EQ(content_of(diff(id, "f")), "second");
  EXPECT_EQ(content_of(diff(id, "was-directory")), "now a file");
  EXPECT_EQ(content_of(diff(id, "was-file/inside")), "y");
  EXPECT_TRUE(S_ISDIR(status_of(diff(id, "was-link")).st_mode));
  EXPECT_EQ(content_of(diff(id, "twice/kept")), "z");
  EXPECT_EQ(status_of(diff(id, "twice")).st_mode & 07777, 0711U);
}

TEST_F(UnpackTest, MakesMissingParentsWhateverTheUmask) {
  const mode_t before = umask(0077);
  const std::string tar = TarBuilder().file("a/b/c", "x").end();
  const auto done = unpack(tar);
  umask(before);
  ASSERT_TRUE(ok(done));
  EXPECT_EQ(status_of(diff(digest_of(tar))).st_mode & 07777, 0755U);
  EXPECT_EQ(status_of(diff(digest_of(tar), "a/b")).st_mode & 07777, 0755U);
}

TEST_F(UnpackTest, IsWhatTarMakesOfARealRoot) {
  testing::TemporaryDirectory work;
  const std::string script =
      "cd " + work.path() +
      " && mkdir -p root/bin root/etc root/usr/lib root/tmp && chmod 1777 root/tmp &&"
      " cp /bin/busybox root/bin/ && for t in sh ls cat; do ln root/bin/busybox root/bin/$t; done "
      "&&"
      " ln -s usr/lib root/lib && cp -a /usr/share/zoneinfo root/usr/lib/ 2>/dev/null;"
      " chmod 4755 root/bin/busybox; touch -d @12345.678 root/etc/old; mknod root/etc/null c 1 3;"
      " setfattr -n user.note -v hi root/etc/old 2>/dev/null;"
      " tar --xattrs --numeric-owner --format=pax -C root -cf layer.tar . &&"
      " mkdir out && tar --xattrs --numeric-owner -C out -xpf layer.tar";
  ASSERT_TRUE(run_program({"sh", "-c", script})->ok());
  const std::string tar = *read_file(work.path() + "/layer.tar", 512U << 20U);
  ASSERT_TRUE(ok(unpack(tar)));
  const auto listing = [](const std::string& directory) {
    return run_program({"sh", "-c",
                        "cd " + directory +
                            " && find . -printf '%p %y %m %U %G %s %T@ %l %n\\n' | sed -E "
                            "'s/^(\\S+ d \\S+ \\S+ \\S+) \\S+/\\1/' | LC_ALL=C sort"})
        ->stdout_text;
  };
  EXPECT_EQ(listing(diff(digest_of(tar))), listing(work.path() + "/out"));
  EXPECT_TRUE(run_program({"diff", "-r", "--no-dereference", "--exclude=null", diff(digest_of(tar)),
                           work.path() + "/out"})
                  ->ok());
}

// --- whiteouts

TEST_F(UnpackTest, WhiteoutsBecomeOverlaysOwn) {
  const std::string tar = TarBuilder()
                              .directory("d")
                              .file("d/.wh.gone", "")
                              .directory("o")
                              .file("o/.wh..wh..opq", "")
                              .file("o/new", "x")
                              .file(".wh..wh.plnk", "")
                              .end();
  ASSERT_TRUE(ok(unpack(tar)));
  const std::string id = digest_of(tar);
  EXPECT_TRUE(is_whiteout(diff(id, "d/gone")));
  EXPECT_EQ(attribute(diff(id, "o"), "trusted.overlay.opaque"), "y");
  EXPECT_THAT(*list_dir(AT_FDCWD, diff(id, "o")), ElementsAre("new"));
  EXPECT_THAT(*list_dir(AT_FDCWD, diff(id)), ElementsAre("d", "o"));
}

TEST_F(UnpackTest, WhiteoutsSpareTheirOwnLayerInAnyOrder) {
  const auto check = [&](const std::string& tar) {
    ASSERT_TRUE(ok(unpack(tar)));
    const std::string id = digest_of(tar);
    EXPECT_EQ(content_of(diff(id, "file")), "kept");
    EXPECT_EQ(content_of(diff(id, "dir/inside")), "kept");
    EXPECT_EQ(attribute(diff(id, "dir"), "trusted.overlay.opaque"), "y");
  };
  check(TarBuilder()
            .file(".wh.file", "")
            .file(".wh.dir", "")
            .file("file", "kept")
            .file("dir/inside", "kept")
            .end());
  check(TarBuilder()
            .file("file", "kept")
            .file("dir/inside", "kept")
            .file(".wh.file", "")
            .file(".wh.dir", "")
            .end());
}

TEST_F(UnpackTest, NothingIsLeftToHideUnderAWhiteout) {
  const std::string tar = TarBuilder()
                              .file("a/b/.wh.c", "")
                              .file("a/.wh.b", "")
                              .file(".wh.a", "")
                              .file("f", "a file")
                              .file("f/.wh.x", "")
                              .end();
  ASSERT_TRUE(ok(unpack(tar)));
  EXPECT_TRUE(is_whiteout(diff(digest_of(tar), "a")));
  EXPECT_EQ(content_of(diff(digest_of(tar), "f")), "a file");
}

TEST_F(UnpackTest, AnOpaqueRootHidesAllLayersBelow) {
  const std::string lower = TarBuilder().file("old", "x").end();
  const std::string upper = TarBuilder().file(".wh..wh..opq", "").file("new", "y").end();
  const auto image = make_image({lower, upper}, {}, "opaque");
  ASSERT_TRUE(ok(image));
  EXPECT_THAT(*store().layer_directories(*image), ElementsAre(HasSubstr(hex_of(digest_of(upper)))));
}

TEST_F(UnpackTest, RefusesWhiteoutsOfNoName) {
  for (const char* name : {".wh.", ".wh..", ".wh...", "d/.wh...", ".wh.a/b"}) {
    EXPECT_EQ(refused(TarBuilder().file(name, "").end()).code(), ErrorCode::kCorrupt) << name;
  }
}

TEST_F(UnpackTest, WhiteoutsDoNotLeaveTheRoot) {
  const std::string tar = TarBuilder().symlink("link", outside()).file("link/.wh.x", "").end();
  ASSERT_TRUE(write_all(open_file(outside() + "/x", O_WRONLY | O_CREAT)->get(), "1", "x"));
  EXPECT_EQ(refused(tar).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(content_of(outside() + "/x"), "1");
}

// --- attacks

TEST_F(UnpackTest, RefusesDotDot) {
  for (const char* name : {"../x", "a/../../x", "a/..", "..", "/../x", "./../outside/x"}) {
    EXPECT_EQ(refused(TarBuilder().file(name, "evil").end()).code(), ErrorCode::kCorrupt) << name;
  }
  expect_untouched();
}

TEST_F(UnpackTest, AbsolutePathsStayInside) {
  const std::string tar =
      TarBuilder().file(outside() + "/evil", "x").file("//etc//passwd", "y").end();
  ASSERT_TRUE(ok(unpack(tar)));
  EXPECT_EQ(content_of(diff(digest_of(tar), "etc/passwd")), "y");
  EXPECT_EQ(content_of(diff(digest_of(tar), outside() + "/evil")), "x");
  expect_untouched();
}

TEST_F(UnpackTest, SymlinksResolveInsideTheRoot) {
  const std::string tar = TarBuilder()
                              .directory(outside())
                              .symlink("absolute", outside())
                              .symlink("up", "../../../../../../../../../../.." + outside())
                              .file("absolute/evil", "1")
                              .file("up/evil2", "2")
                              .end();
  ASSERT_TRUE(ok(unpack(tar)));
  EXPECT_EQ(content_of(diff(digest_of(tar), outside() + "/evil")), "1");
  EXPECT_EQ(content_of(diff(digest_of(tar), outside() + "/evil2")), "2");
  expect_untouched();
}

TEST_F(UnpackTest, NeverWritesThroughASymlinkAsTheLastComponent) {
  ASSERT_TRUE(write_all(open_file(outside() + "/f", O_WRONLY | O_CREAT)->get(), "1", "f"));
  const std::string tar = TarBuilder().symlink("link", outside() + "/f").file("link", "evil").end();
  ASSERT_TRUE(ok(unpack(tar)));
  EXPECT_EQ(content_of(outside() + "/f"), "1");
  EXPECT_TRUE(S_ISREG(status_of(diff(digest_of(tar), "link")).st_mode));
}

TEST_F(UnpackTest, RefusesParentsThatLeadNowhere) {
  EXPECT_EQ(refused(TarBuilder().symlink("l", outside()).file("l/x", "evil").end()).code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(refused(TarBuilder().file("f", "").file("f/x", "evil").end()).code(),
            ErrorCode::kCorrupt);
  expect_untouched();
}

TEST_F(UnpackTest, HardLinksStayInside) {
  ASSERT_TRUE(write_all(open_file(outside() + "/f", O_WRONLY | O_CREAT)->get(), "1", "f"));
  for (const std::string& target : {outside() + "/f", "../../../../.." + outside() + "/f",
                                    std::string("missing"), std::string("/")}) {
    EXPECT_EQ(refused(TarBuilder().hard_link("h", target).end()).code(), ErrorCode::kCorrupt)
        << target;
  }
  // Through a symbolic link in the middle, too.
  EXPECT_EQ(refused(TarBuilder().symlink("l", outside()).hard_link("h", "l/f").end()).code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(status_of(outside() + "/f").st_nlink, 1U);
}

TEST_F(UnpackTest, AHardLinkToASymlinkLinksTheSymlink) {
  ASSERT_TRUE(write_all(open_file(outside() + "/f", O_WRONLY | O_CREAT)->get(), "1", "f"));
  const std::string tar =
      TarBuilder().symlink("s", outside() + "/f").hard_link("h", "s").file("h", "evil").end();
  ASSERT_TRUE(ok(unpack(tar)));
  EXPECT_EQ(content_of(outside() + "/f"), "1");
  EXPECT_EQ(status_of(outside() + "/f").st_nlink, 1U);
  EXPECT_TRUE(S_ISLNK(status_of(diff(digest_of(tar), "s")).st_mode));
}

TEST_F(UnpackTest, RefusesHardLinksWithContentAndToDirectories) {
  EXPECT_EQ(refused(TarBuilder()
                        .file("f", "x")
                        .add({.name = "h", .type = '1', .content = "evil", .link = "f"})
                        .end())
                .code(),
            ErrorCode::kCorrupt);
  EXPECT_FALSE(unpack(TarBuilder().directory("d").hard_link("h", "d").end()));
}

TEST_F(UnpackTest, FollowsFortySymlinksAndNoMore) {
  const auto chain = [](int links) {
    TarBuilder tar;
    tar.directory("end");
    tar.symlink("l1", "end");
    for (int i = 2; i <= links; ++i)
      tar.symlink("l" + std::to_string(i), "l" + std::to_string(i - 1));
    return tar.file("l" + std::to_string(links) + "/x", "y").end();
  };
  EXPECT_TRUE(ok(unpack(chain(40))));
  const Error error = refused(chain(41));
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.message(), HasSubstr("chain of more than 40"));
  EXPECT_EQ(refused(TarBuilder().symlink("a", "b").symlink("b", "a").file("a/x", "y").end()).code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(refused(TarBuilder().symlink("a", "a").file("a/x", "y").end()).code(),
            ErrorCode::kCorrupt);
}

TEST_F(UnpackTest, RefusesNulBytesInNames) {
  const std::string nul("good\0evil", 9);
  for (const std::string& tar : {TarBuilder().pax("path", nul).file("x", "").end(),
                                 TarBuilder().pax("linkpath", nul).symlink("x", "y").end(),
                                 TarBuilder().add({.name = nul}).end(),
                                 TarBuilder().add({.name = "x", .type = '2', .link = nul}).end(),
                                 TarBuilder()
                                     .add({.name = "././@LongLink", .type = 'L', .content = nul})
                                     .file("x", "")
                                     .end(),
                                 TarBuilder()
                                     .add({.name = "././@LongLink", .type = 'K', .content = nul})
                                     .symlink("x", "y")
                                     .end(),
                                 TarBuilder().pax(nul, "x").file("x", "").end()}) {
    const Error error = refused(tar);
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    EXPECT_THAT(error.message(), HasSubstr("NUL"));
  }
}

TEST_F(UnpackTest, RefusesNamesThatAreTooLong) {
  EXPECT_EQ(refused(TarBuilder().pax("path", std::string(256, 'n')).file("x", "").end()).code(),
            ErrorCode::kCorrupt);
  std::string deep;
  while (deep.size() < 4096) deep += "0123456789/";
  EXPECT_EQ(refused(TarBuilder().pax("path", deep + "f").file("x", "").end()).code(),
            ErrorCode::kCorrupt);
}

TEST_F(UnpackTest, RefusesTreesTooDeepToWalk) {
  std::string deep;
  for (int i = 0; i < 500; ++i) deep += "d/";
  const std::string tar = TarBuilder().pax("path", deep + "f").file("x", "").end();
  EXPECT_EQ(refused(tar).code(), ErrorCode::kLimitExceeded);
}

TEST_F(UnpackTest, RefusesAttributesThatForgeOverlaysMarks) {
  for (const char* name : {"trusted.overlay.opaque", "trusted.overlay.redirect",
                           "user.overlay.opaque", "trusted.overlay.metacopy"}) {
    EXPECT_EQ(
        refused(TarBuilder().pax(std::string("SCHILY.xattr.") + name, "y").file("f", "x").end())
            .code(),
        ErrorCode::kCorrupt)
        << name;
  }
}

TEST_F(UnpackTest, RefusesSizesThatNoFileHas) {
  const std::string negative = std::string(12, '\xff');
  std::string huge(12, '\0');
  huge[0] = '\x80';
  huge[4] = '\x7f';
  EXPECT_EQ(refused(TarBuilder().add({.name = "f", .raw_size = negative}).end()).code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(refused(TarBuilder().add({.name = "f", .raw_size = "-0000000001"}).end()).code(),
            ErrorCode::kCorrupt);
  EXPECT_FALSE(unpack(TarBuilder().add({.name = "f", .raw_size = huge}).end()));
  EXPECT_FALSE(unpack(TarBuilder().pax("size", "9223372036854775807").file("f", "x").end()));
  EXPECT_FALSE(unpack(TarBuilder().pax("size", "-1").file("f", "x").end()));
  EXPECT_EQ(refused(TarBuilder()
                        .pax("GNU.sparse.major", "1")
                        .pax("size", "99999999999999999999")
                        .file("f", "x")
                        .end())
                .code(),
            ErrorCode::kCorrupt);
}

TEST_F(UnpackTest, RefusesOwnersOutOfRange) {
  EXPECT_EQ(refused(TarBuilder().pax("uid", "4294967295").file("f", "x").end()).code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(refused(TarBuilder().pax("gid", "99999999999").file("f", "x").end()).code(),
            ErrorCode::kCorrupt);
}

TEST_F(UnpackTest, RefusesBombsOfExtensionHeaders) {
  TarBuilder chain;
  for (int i = 0; i < 2000; ++i) chain.pax("comment", "x");
  EXPECT_EQ(refused(chain.file("f", "x").end()).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(
      refused(TarBuilder().add({.name = "p", .type = 'x', .raw_size = "77777777777"}).end()).code(),
      ErrorCode::kLimitExceeded);
  for (const char* bad : {"5 a=b\n", "99 path=x\n", "path=x\n", "0 \n", "6 ab\n\n", "-1 a=b\n"}) {
    EXPECT_EQ(
        refused(TarBuilder().add({.name = "p", .type = 'x', .content = bad}).file("f", "").end())
            .code(),
        ErrorCode::kCorrupt)
        << bad;
  }
}

TEST_F(UnpackTest, RefusesWhatIsNoTar) {
  EXPECT_EQ(refused("").code(), ErrorCode::kCorrupt);
  EXPECT_EQ(refused("hello").code(), ErrorCode::kCorrupt);
  EXPECT_EQ(refused(std::string(5000, 'x')).code(), ErrorCode::kCorrupt);
  std::string bad_sum = TarBuilder().file("f", "x").end();
  bad_sum[0] = 'g';
  EXPECT_EQ(refused(bad_sum).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(refused(TarBuilder().add({.name = "s", .type = '9'}).file("../x", "").end()).code(),
            ErrorCode::kCorrupt);
  const auto xz = unpack_blob(
      "\xfd"
      "7zXZ" +
          std::string(100, '\0'),
      digest_of(""));
  EXPECT_EQ(xz.error().code(), ErrorCode::kUnsupported);
}

TEST_F(UnpackTest, RefusesTruncatedLayers) {
  const std::string tar = TarBuilder().file("f", std::string(200000, 'x')).file("g", "y").end();
  EXPECT_EQ(refused(tar.substr(0, 100000)).code(), ErrorCode::kCorrupt);
  // Noise does not compress, so that half of the stream is half of the content.
  const std::string noise = TarBuilder().file("f", random_hex(200000)).end();
  for (const std::string& blob : {gzip(noise), zstd(noise)}) {
    const auto done = unpack_blob(blob.substr(0, blob.size() / 2), digest_of(noise));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::kCorrupt) << done.error().message();
    EXPECT_THAT(*list_dir(AT_FDCWD, path("data/tmp")), ::testing::IsEmpty());
  }
}

TEST_F(UnpackTest, RefusesAnotherDiffId) {
  const std::string tar = TarBuilder().file("f", "x").end();
  const auto done = unpack_blob(tar, digest_of("other"));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kDigestMismatch);
  EXPECT_FALSE(exists(path("data/layers/" + hex_of(digest_of("other")))));
  EXPECT_THAT(*list_dir(AT_FDCWD, path("data/tmp")), ::testing::IsEmpty());
}

TEST_F(UnpackTest, TheDigestCoversWhatFollowsTheArchive) {
  const std::string tar = TarBuilder().file("f", "x").end() + std::string(9000, '\0') + "tail";
  EXPECT_TRUE(ok(unpack(tar)));
  EXPECT_EQ(refused(TarBuilder().file("g", "x").end() + std::string(17U << 20U, 'g')).code(),
            ErrorCode::kCorrupt);
}

TEST_F(UnpackTest, StopsAtItsLimits) {
  reopen({.files_per_layer = 10, .rootfs_bytes = 1U << 20U});
  TarBuilder many;
  for (int i = 0; i < 11; ++i) many.file("f" + std::to_string(i), "");
  EXPECT_EQ(refused(many.end()).code(), ErrorCode::kLimitExceeded);
  const std::string bomb = TarBuilder().file("zeros", std::string(8U << 20U, '\0')).end();
  const auto done = unpack_blob(gzip(bomb), digest_of(bomb));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kLimitExceeded);
  EXPECT_THAT(*list_dir(AT_FDCWD, path("data/tmp")), ::testing::IsEmpty());
}

TEST_F(UnpackTest, TwoProcessesMayUnpackTheSameLayer) {
  TarBuilder builder;
  for (int i = 0; i < 300; ++i) builder.file("f" + std::to_string(i), std::string(1000, 'x'));
  const std::string tar = builder.end();
  ASSERT_TRUE(store().put_blob(tar));
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(unpack(tar) ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(list_dir(AT_FDCWD, diff(digest_of(tar)))->size(), 300U);
  EXPECT_THAT(*list_dir(AT_FDCWD, path("data/tmp")), ::testing::IsEmpty());
}

TEST_F(UnpackTest, AFullDiskLeavesNothingBehind) {
  const std::string small = path("outside/small");
  ASSERT_EQ(mkdir(small.c_str(), 0755), 0);
  const std::string script = "mount -t tmpfs -o size=2m none " + small;
  if (!run_program({"sh", "-c", script})->ok()) GTEST_SKIP() << "no mount";
  {
    auto full = Store::open(small);
    ASSERT_TRUE(ok(full));
    const std::string tar = TarBuilder().file("big", random_hex(2U << 20U)).end();
    const std::string blob = gzip(TarBuilder().file("big", std::string(4U << 20U, 'z')).end());
    const auto too_big = full->put_blob(tar);
    ASSERT_FALSE(too_big);
    EXPECT_EQ(too_big.error().errnum(), ENOSPC);
    EXPECT_THAT(too_big.error().hint_text(), HasSubstr("disk is full"));
    ASSERT_TRUE(full->prune({}, true));
    const auto left = list_dir(AT_FDCWD, small + "/tmp");
    for (const std::string& name : *left) {
      unlink((small + "/tmp/" + name).c_str());
    }
    oci::Descriptor layer{.digest = *full->put_blob(blob), .size = blob.size()};
    const auto done = full->unpack_layer(layer, digest_of("x"));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().errnum(), ENOSPC) << done.error().message();
    EXPECT_THAT(done.error().hint_text(), HasSubstr("disk is full"));
    EXPECT_THAT(*list_dir(AT_FDCWD, small + "/tmp"), ::testing::IsEmpty());
    EXPECT_THAT(*list_dir(AT_FDCWD, small + "/layers"), ::testing::IsEmpty());
  }
  EXPECT_TRUE(run_program({"umount", small})->ok());
}

TEST(TarGate, SeesTheSameInPiecesOfAnySize) {
  const std::string good = TarBuilder().pax("path", "x").file("y", std::string(700, 'c')).end();
  const std::string bad = TarBuilder().file("y", "z").pax("path", std::string("a\0b", 3)).end();
  for (const size_t piece : {1U, 7U, 511U, 512U, 513U, 5000U}) {
    const auto feed = [&](const std::string& tar) {
      TarGate gate;
      for (size_t at = 0; at < tar.size(); at += piece) {
        if (!gate.feed(std::string_view(tar).substr(at, piece))) return false;
      }
      return gate.ended();
    };
    EXPECT_TRUE(feed(good)) << piece;
    EXPECT_FALSE(feed(bad)) << piece;
  }
}

}  // namespace
}  // namespace trivet::image
