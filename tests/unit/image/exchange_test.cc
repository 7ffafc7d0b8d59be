// Import and save, against skopeo where it is there.
#include "image/unpack.h"
#include "store_fixture.h"
#include "tar_builder.h"

namespace trivet::image {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::ok;
using testing::TarBuilder;

class ExchangeTest : public testing::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }

  Result<Image> two_layers(const std::optional<std::string>& name) {
    return make_image({TarBuilder().file("a", "1").end(), TarBuilder().file("b", "2").end()},
                      {.cmd = {"/a"}}, name);
  }
  // A second store, as on another machine.
  Store elsewhere() { return std::move(*Store::open(path("elsewhere"))); }

  bool skopeo(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {"skopeo", "--insecure-policy"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const auto output = run_program(argv);
    EXPECT_TRUE(output && output->ok())
        << (output ? output->stderr_text : output.error().message());
    return output && output->ok();
  }
  static bool have_skopeo() { return run_program({"skopeo", "--version"}).has_value(); }
};

TEST_F(ExchangeTest, WhatIsSavedIsImportedAgain) {
  const auto image = two_layers("team/app:1");
  ASSERT_TRUE(ok(image));
  ASSERT_TRUE(store().tag("team/app:1", *parse_reference("team/app:2")));
  const Image tagged = *store().find(image->id);
  for (const auto format : {Store::ArchiveFormat::kOci, Store::ArchiveFormat::kDocker}) {
    const std::string file = path("saved.tar");
    ASSERT_TRUE(ok(store().save(tagged, file, format)));
    (void)remove_tree(AT_FDCWD, path("elsewhere"));
    const Store other = elsewhere();
    const auto imported = other.import(file, std::nullopt);
    ASSERT_TRUE(ok(imported));
    ASSERT_EQ(imported->size(), 1U);
    EXPECT_EQ(imported->front().id, image->id);
    EXPECT_EQ(imported->front().references.size(), 2U);
    EXPECT_EQ(content_of(other.layer_directories(imported->front())->front() + "/b"), "2");
    const auto renamed = other.import(file, *parse_reference("mine"));
    ASSERT_TRUE(ok(renamed));
    EXPECT_EQ(other.find("mine")->id, image->id);
  }
}

TEST_F(ExchangeTest, SavingTwiceGivesTheSameBytes) {
  const auto image = two_layers("app");
  for (const auto format : {Store::ArchiveFormat::kOci, Store::ArchiveFormat::kDocker}) {
    ASSERT_TRUE(store().save(*image, path("1.tar"), format));
    ASSERT_TRUE(store().save(*image, path("2.tar"), format));
    EXPECT_EQ(content_of(path("1.tar")), content_of(path("2.tar")));
  }
}

TEST_F(ExchangeTest, AFailedSaveLeavesNoFile) {
  const auto image = two_layers("app");
  ASSERT_EQ(unlink(path("data/blobs/sha256/" + hex_of(image->manifest.layers[0].digest)).c_str()),
            0);
  EXPECT_FALSE(store().save(*image, path("out.tar"), Store::ArchiveFormat::kOci));
  EXPECT_THAT(*list_dir(AT_FDCWD, path("")), ElementsAre("data"));
}

TEST_F(ExchangeTest, SkopeoReadsWhatWeSave) {
  if (!have_skopeo()) GTEST_SKIP() << "needs skopeo";
  const auto image = two_layers("team/app:1");
  ASSERT_TRUE(store().save(*image, path("oci.tar"), Store::ArchiveFormat::kOci));
  ASSERT_TRUE(store().save(*image, path("docker.tar"), Store::ArchiveFormat::kDocker));
  EXPECT_TRUE(skopeo({"inspect", "oci-archive:" + path("oci.tar")}));
  EXPECT_TRUE(skopeo({"copy", "oci-archive:" + path("oci.tar"), "oci:" + path("layout") + ":x"}));
  EXPECT_TRUE(skopeo({"inspect", "docker-archive:" + path("docker.tar")}));
  EXPECT_TRUE(skopeo(
      {"copy", "docker-archive:" + path("docker.tar") + ":team/app:1", "dir:" + path("dir")}));
}

TEST_F(ExchangeTest, WeReadWhatSkopeoWrites) {
  if (!have_skopeo()) GTEST_SKIP() << "needs skopeo";
  const auto image = two_layers("team/app:1");
  ASSERT_TRUE(store().save(*image, path("in.tar"), Store::ArchiveFormat::kOci));
  const std::string from = "oci-archive:" + path("in.tar");
  ASSERT_TRUE(skopeo({"copy", from, "docker-archive:" + path("d.tar") + ":team/app:9"}));
  ASSERT_TRUE(skopeo({"copy", from, "oci-archive:" + path("o.tar") + ":localhost/x:9"}));
  ASSERT_TRUE(skopeo({"copy", "--dest-compress", from, "oci:" + path("layout") + ":latest"}));
  const Store other = elsewhere();
  const auto docker = other.import(path("d.tar"), std::nullopt);
  ASSERT_TRUE(ok(docker));
  EXPECT_EQ(other.find("team/app:9")->id, image->id);
  const auto archive = other.import(path("o.tar"), std::nullopt);
  ASSERT_TRUE(ok(archive));
  EXPECT_EQ(other.find("localhost/x:9")->id, image->id);
  const auto layout = other.import(path("layout"), *parse_reference("from/layout"));
  ASSERT_TRUE(ok(layout));
  EXPECT_EQ(other.find("from/layout")->id, image->id);
}

TEST_F(ExchangeTest, DockerArchivesWithLinkedLayersWork) {
  const std::string tar = TarBuilder().file("f", "x").end();
  oci::ImageConfig config{.platform = {.os = "linux", .architecture = "amd64"}};
  config.diff_ids = {digest_of(tar), digest_of(tar)};
  const std::string archive =
      TarBuilder()
          .directory("one")
          .file("one/VERSION", "1.0")
          .file("one/json", "{}")
          .file("one/layer.tar", tar)
          .symlink("two/layer.tar", "../one/layer.tar")
          .file("c.json", oci::print_image_config(config))
          .file("repositories", "{}")
          .file(
              "manifest.json",
              R"([{"Config":"c.json","RepoTags":null,"Layers":["one/layer.tar","two/layer.tar"]}])")
          .end();
  ASSERT_TRUE(replace_file(AT_FDCWD, path("d.tar"), archive));
  const auto images = store().import(path("d.tar"), std::nullopt);
  ASSERT_TRUE(ok(images));
  EXPECT_THAT(images->front().references, IsEmpty());
  EXPECT_EQ(images->front().manifest.layers.size(), 2U);
}

TEST_F(ExchangeTest, ARootFileSystemBecomesOneLayer) {
  const std::string root = path("root");
  ASSERT_TRUE(
      run_program(
          {"sh", "-c",
           "mkdir -p " + root + "/bin && cd " + root +
               " && echo hi > bin/f && ln bin/f bin/g && ln -s f bin/s &&"
               " truncate -s 1M bin/hole && printf x >> bin/hole && truncate -s 2M z &&"
               " chmod 4711 bin/f && chown 5:6 z && mkfifo p && touch 'gr\xc3\xbc\xc3\x9f'"})
          ->ok());
  EXPECT_EQ(store().import(root, std::nullopt).error().code(), ErrorCode::kInvalidArgument);
  const auto first = store().import(root, *parse_reference("root:1"));
  ASSERT_TRUE(ok(first));
  const auto second = store().import(root, *parse_reference("root:2"));
  EXPECT_EQ(first->front().id, second->front().id) << "not reproducible";
  const std::string diff_path = store().layer_directories(first->front())->front();
  EXPECT_EQ(status_of(diff_path + "/bin/f").st_ino, status_of(diff_path + "/bin/g").st_ino);
  EXPECT_EQ(status_of(diff_path + "/bin/f").st_mode & 07777, 04711U);
  EXPECT_EQ(status_of(diff_path + "/z").st_uid, 5U);
  EXPECT_EQ(status_of(diff_path + "/z").st_size, 2 << 20);
  EXPECT_LT(status_of(diff_path + "/z").st_blocks, 100);
  EXPECT_TRUE(run_program({"diff", "-r", "--exclude=p", root, diff_path})->ok());

  ASSERT_TRUE(run_program({"tar", "-C", root, "-czf", path("root.tgz"), "."})->ok());
  const auto packed = store().import(path("root.tgz"), *parse_reference("root:3"));
  ASSERT_TRUE(ok(packed));
  EXPECT_EQ(packed->front().manifest.layers[0].media_type, oci::kMediaLayerGzip);
  EXPECT_TRUE(run_program({"diff", "-r", "--exclude=p", root,
                           store().layer_directories(packed->front())->front()})
                  ->ok());
}

TEST_F(ExchangeTest, RefusesWhatIsNoArchive) {
  ASSERT_TRUE(replace_file(AT_FDCWD, path("junk"), "this is no archive"));
  ASSERT_TRUE(replace_file(AT_FDCWD, path("empty.tar"), std::string(1024, '\0')));
  const auto name = *parse_reference("x");
  EXPECT_EQ(store().import(path("junk"), name).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(store().import(path("empty.tar"), name).error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(store().import(path("missing"), name).error().code(), ErrorCode::kNotFound);
  for (const char* manifest : {"[]", "{}", "nonsense", R"([{"Config":"x","Layers":["y"]}])",
                               R"([{"Config":"../../etc/passwd","Layers":[]}])"}) {
    ASSERT_TRUE(
        replace_file(AT_FDCWD, path("d.tar"), TarBuilder().file("manifest.json", manifest).end()));
    EXPECT_FALSE(store().import(path("d.tar"), name)) << manifest;
  }
  EXPECT_THAT(*store().list(), IsEmpty());
  EXPECT_THAT(*list_dir(AT_FDCWD, path("data/tmp")), IsEmpty());
}

}  // namespace
}  // namespace trivet::image
