#include "image/store.h"

#include "image/store_layout.h"
#include "store_fixture.h"
#include "tar_builder.h"

namespace trivet::image {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ok;
using testing::TarBuilder;

class ImageStoreTest : public testing::StoreTest {
 protected:
  std::string layer(const std::string& name) { return TarBuilder().file(name, name).end(); }
  [[nodiscard]] std::vector<std::string> names_in(const std::string& directory) const {
    return *list_dir(AT_FDCWD, path("data/" + directory));
  }
};

// --- blobs

TEST_F(ImageStoreTest, ABlobIsVisibleOnlyWhenItsDigestIsRight) {
  const std::string digest = digest_of("content");
  auto writer = store().write_blob(digest, 7, 100);
  ASSERT_TRUE(ok(writer));
  ASSERT_TRUE(ok(writer->write("con")));
  EXPECT_FALSE(store().has_blob(digest));
  ASSERT_TRUE(ok(writer->write("tent")));
  ASSERT_TRUE(ok(writer->commit()));
  EXPECT_TRUE(store().has_blob(digest));
  EXPECT_EQ(*store().read_blob(digest), "content");
  EXPECT_THAT(names_in("tmp"), IsEmpty());
}

TEST_F(ImageStoreTest, WrongContentIsRefusedAndForgotten) {
  const std::string digest = digest_of("content");
  auto writer = store().write_blob(digest, 7, 100);
  ASSERT_TRUE(ok(writer->write("CONTENT")));
  const auto committed = writer->commit();
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.error().code(), ErrorCode::kDigestMismatch);
  EXPECT_FALSE(store().has_blob(digest));
  EXPECT_THAT(names_in("tmp"), IsEmpty());
}

TEST_F(ImageStoreTest, SizesAndLimitsAreKept) {
  const std::string digest = digest_of("content");
  EXPECT_EQ(store().write_blob(digest, 101, 100).error().code(), ErrorCode::kLimitExceeded);
  auto short_of = store().write_blob(digest, 7, 100);
  ASSERT_TRUE(ok(short_of->write("con")));
  EXPECT_EQ(short_of->commit().error().code(), ErrorCode::kCorrupt);
  short_of->discard();
  EXPECT_EQ(store().write_blob(digest, 3, 100)->write("content").error().code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(store().write_blob(digest, 0, 5)->write("content").error().code(),
            ErrorCode::kLimitExceeded);
  EXPECT_THAT(names_in("tmp"), IsEmpty());
}

TEST_F(ImageStoreTest, DigestsAreNeverPaths) {
  for (const char* bad :
       {"sha256:../../etc/passwd", "../x", "", "sha256:", "sha512:00", "sha256:ABCDEF"}) {
    EXPECT_FALSE(store().has_blob(bad));
    EXPECT_FALSE(store().has_layer(bad));
    EXPECT_FALSE(store().write_blob(bad, 0, 1));
    EXPECT_FALSE(store().open_blob(bad));
    EXPECT_FALSE(store().add_image(bad, std::nullopt));
  }
}

TEST_F(ImageStoreTest, ABrokenDownloadIsResumed) {
  const std::string content = random_hex(100000);
  const std::string digest = digest_of(content);
  {
    auto writer = store().write_blob(digest, content.size(), 1U << 20U);
    ASSERT_TRUE(ok(writer->write(std::string_view(content).substr(0, 70000))));
  }
  auto writer = store().write_blob(digest, content.size(), 1U << 20U);
  ASSERT_TRUE(ok(writer));
  EXPECT_EQ(writer->offset(), 70000U);
  ASSERT_TRUE(ok(writer->write(std::string_view(content).substr(70000))));
  ASSERT_TRUE(ok(writer->commit()));
  EXPECT_EQ(*store().read_blob(digest), content);
}

TEST_F(ImageStoreTest, AShortOrDiscardedBeginningIsNotKept) {
  const std::string content = random_hex(100000);
  const std::string digest = digest_of(content);
  ASSERT_TRUE(ok(store().write_blob(digest, 0, 1U << 20U)->write("short")));
  {
    auto writer = store().write_blob(digest, 0, 1U << 20U);
    EXPECT_EQ(writer->offset(), 0U);
    ASSERT_TRUE(ok(writer->write(content)));
    writer->discard();
  }
  EXPECT_THAT(names_in("tmp"), IsEmpty());
  auto writer = store().write_blob(digest, 0, 1U << 20U);
  ASSERT_TRUE(ok(writer->write("something else")));
  ASSERT_TRUE(ok(writer->restart()));
  ASSERT_TRUE(ok(writer->write(content)));
  EXPECT_TRUE(ok(writer->commit()));
}

TEST_F(ImageStoreTest, TwoWritersOfOneBlobDoNotMix) {
  const std::string content = random_hex(100000);
  const std::string digest = digest_of(content);
  auto first = store().write_blob(digest, 0, 1U << 20U);
  auto second = store().write_blob(digest, 0, 1U << 20U);
  ASSERT_TRUE(ok(first->write(content)));
  ASSERT_TRUE(ok(second->write(content)));
  ASSERT_TRUE(ok(second->commit()));
  ASSERT_TRUE(ok(first->commit()));
  EXPECT_EQ(*store().read_blob(digest), content);
  EXPECT_THAT(names_in("tmp"), IsEmpty());
}

TEST_F(ImageStoreTest, DamageIsNoticedWhenReading) {
  const std::string digest = *store().put_blob("content");
  ASSERT_TRUE(replace_file(AT_FDCWD, path("data/blobs/sha256/" + hex_of(digest)), "CONTENT"));
  EXPECT_EQ(store().read_blob(digest).error().code(), ErrorCode::kDigestMismatch);
  EXPECT_EQ(store().read_blob(digest_of("no")).error().code(), ErrorCode::kNotFound);
}

// --- images

TEST_F(ImageStoreTest, FindsByNameAndId) {
  const auto image = make_image({layer("a"), layer("b")}, {.cmd = {"/a"}}, "team/app:1");
  ASSERT_TRUE(ok(image));
  const std::string hex = hex_of(image->id);
  for (const std::string& name :
       {std::string("team/app:1"), std::string("docker.io/team/app:1"), image->id, hex,
        hex.substr(0, 12), hex.substr(0, 3), "team/app@" + image->manifest_digest}) {
    const auto found = store().find(name);
    ASSERT_TRUE(ok(found)) << name;
    EXPECT_EQ(found->id, image->id);
    EXPECT_EQ(found->size, 2U);
    EXPECT_EQ(found->config.cmd, std::vector<std::string>{"/a"});
    EXPECT_EQ(found->references.front().familiar(), "team/app:1");
  }
  EXPECT_THAT(*store().layer_directories(*image),
              ElementsAre(HasSubstr(hex_of(digest_of(layer("b")))),
                          HasSubstr(hex_of(digest_of(layer("a"))))));
}

TEST_F(ImageStoreTest, SaysWhatIsWrongWithAName) {
  ASSERT_TRUE(make_image({layer("a")}, {}, "busybox"));
  const auto typo = store().find("busybx");
  ASSERT_FALSE(typo);
  EXPECT_EQ(typo.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(store().find("busybox:lates").error().hint_text(), HasSubstr("did you mean"));
  EXPECT_THAT(store().find("zzz").error().hint_text(), HasSubstr("trivet pull zzz"));
  EXPECT_EQ(store().find("Bad Name").error().code(), ErrorCode::kInvalidArgument);
  // Enough images that two share the first digit; three digits are the least.
  EXPECT_EQ(store().find("ab").error().code(), ErrorCode::kNotFound);
}

TEST_F(ImageStoreTest, AnAmbiguousPrefixIsRefused) {
  const StoreLayout layout{.data_dir = store().data_dir()};
  for (const char last : {'1', '2'}) {
    ImageRecord record{.id = "sha256:abc" + std::string(60, '0') + last};
    record.manifest_digest = "sha256:" + std::string(63, '0') + last;
    ASSERT_TRUE(write_record(layout, record));
  }
  EXPECT_EQ(store().find("abc").error().code(), ErrorCode::kInvalidArgument);
}

TEST_F(ImageStoreTest, ANameMovesAndLeavesTheOldImageDangling) {
  const auto first = make_image({layer("a")}, {}, "app");
  const auto second = make_image({layer("b")}, {}, "app");
  ASSERT_TRUE(ok(second));
  EXPECT_EQ(store().find("app")->id, second->id);
  EXPECT_THAT(store().find(first->id)->references, IsEmpty());
  EXPECT_EQ(store().list()->size(), 2U);
  ASSERT_TRUE(ok(store().tag(first->id, *parse_reference("old:1"))));
  EXPECT_EQ(store().find("old:1")->id, first->id);
}

TEST_F(ImageStoreTest, AnImageMustBeComplete) {
  const std::string tar = layer("a");
  const std::string blob = *store().put_blob(tar);
  oci::ImageConfig config{.platform = {.os = "linux", .architecture = "amd64"}};
  config.diff_ids = {digest_of(tar)};
  const std::string config_digest = *store().put_blob(oci::print_image_config(config));
  const std::string manifest = *put_manifest(store(), config_digest, {blob});
  EXPECT_EQ(store().add_image(manifest, std::nullopt).error().code(), ErrorCode::kNotFound);
  config.diff_ids.clear();
  const std::string other = *store().put_blob(oci::print_image_config(config));
  const std::string wrong = *put_manifest(store(), other, {blob});
  EXPECT_EQ(store().add_image(wrong, std::nullopt).error().code(), ErrorCode::kCorrupt);
  EXPECT_THAT(*store().list(), IsEmpty());
}

TEST_F(ImageStoreTest, LayersOfAnEarlierBootCountOnlyWhenSynced) {
  const std::string tar = layer("a");
  ASSERT_TRUE(unpack(tar));
  EXPECT_TRUE(store().has_layer(digest_of(tar)));
  const std::string directory = path("data/layers/" + hex_of(digest_of(tar)));
  ASSERT_EQ(rename((directory + "/" + unpacked_marker()).c_str(),
                   (directory + "/unpacked-before").c_str()),
            0);
  EXPECT_FALSE(store().has_layer(digest_of(tar)));
  ASSERT_TRUE(ok(make_image({tar}, {}, "app")));  // unpacks it again
  EXPECT_TRUE(exists(directory + "/synced"));
  EXPECT_FALSE(exists(directory + "/" + unpacked_marker()));
}

// --- removal

TEST_F(ImageStoreTest, RemovingTheLastNameRemovesWhatOnlyItUsed) {
  const auto first = make_image({layer("shared"), layer("a")}, {}, "a");
  const auto second = make_image({layer("shared"), layer("b")}, {}, "b");
  ASSERT_TRUE(ok(second));
  ASSERT_TRUE(store().tag("a", *parse_reference("a:2")));
  EXPECT_THAT(*store().remove("a:2", {}, false), ElementsAre("Untagged: a:2"));
  const auto report = store().remove("a", {}, false);
  ASSERT_TRUE(ok(report));
  EXPECT_THAT(*report, ElementsAre("Untagged: a:latest", "Deleted: " + first->id));
  EXPECT_TRUE(store().has_layer(digest_of(layer("shared"))));
  EXPECT_FALSE(store().has_layer(digest_of(layer("a"))));
  EXPECT_FALSE(store().has_blob(first->manifest_digest));
  EXPECT_TRUE(ok(store().find("b")));
  ASSERT_TRUE(ok(store().remove(second->id, {}, false)));
  EXPECT_THAT(names_in("layers"), IsEmpty());
  EXPECT_THAT(names_in("blobs/sha256"), IsEmpty());
  EXPECT_THAT(names_in("images"), IsEmpty());
  EXPECT_THAT(names_in("tmp"), IsEmpty());
}

TEST_F(ImageStoreTest, AnImageInUseStays) {
  const auto image = make_image({layer("a")}, {}, "a");
  EXPECT_EQ(store().remove("a", {image->id}, false).error().code(), ErrorCode::kWrongState);
  ASSERT_TRUE(ok(store().remove("a", {image->id}, true)));
  EXPECT_THAT(store().find(image->id)->references, IsEmpty());
  EXPECT_THAT(store().prune({image->id}, true)->images, IsEmpty());
  EXPECT_TRUE(store().has_layer(digest_of(layer("a"))));
  EXPECT_THAT(store().prune({}, false)->images, ElementsAre(image->id));
  EXPECT_FALSE(store().has_layer(digest_of(layer("a"))));
}

TEST_F(ImageStoreTest, PruneTakesWhatIsDanglingOrWithAllUnused) {
  const auto old_image = make_image({layer("a")}, {}, "app");
  const auto new_image = make_image({layer("b")}, {}, "app");
  const auto pruned = store().prune({}, false);
  ASSERT_TRUE(ok(pruned));
  EXPECT_THAT(pruned->images, ElementsAre(old_image->id));
  EXPECT_GT(pruned->bytes, 0U);
  EXPECT_TRUE(ok(store().find("app")));
  EXPECT_THAT(store().prune({}, true)->images, ElementsAre("app:latest"));
  EXPECT_THAT(*store().list(), IsEmpty());
}

TEST_F(ImageStoreTest, GarbageIsCollectedWhenItIsOldAndNobodyHoldsIt) {
  const std::string young = *store().put_blob("young");
  const std::string old = *store().put_blob("old");
  const std::string orphan = layer("orphan");
  ASSERT_TRUE(unpack(orphan));
  auto held = store().write_blob(digest_of("held"), 0, 100);
  ASSERT_TRUE(replace_file(AT_FDCWD, path("data/tmp/left-over"), "x"));
  const std::string touch = "touch -d '2 hours ago' " + path("data/blobs/sha256/" + hex_of(old)) +
                            " " + path("data/tmp") + "/* " + path("data/layers") + "/*";
  ASSERT_TRUE(run_program({"sh", "-c", touch})->ok());
  ASSERT_TRUE(ok(store().prune({}, false)));
  EXPECT_TRUE(store().has_blob(young));
  EXPECT_FALSE(store().has_blob(old));
  EXPECT_FALSE(store().has_layer(digest_of(orphan)));
  EXPECT_THAT(names_in("tmp"), ElementsAre(HasSubstr(".part")));
  EXPECT_TRUE(ok(held->write("held")));
  EXPECT_TRUE(ok(held->commit()));
}

TEST_F(ImageStoreTest, RemovingDuringAPullDefersTheContent) {
  ASSERT_TRUE(make_image({layer("a")}, {}, "a"));
  auto pull = store().write_blob(digest_of("x"), 0, 100);
  EXPECT_THAT(*store().remove("a", {}, false), Contains(HasSubstr("being pulled")));
  EXPECT_TRUE(store().has_layer(digest_of(layer("a"))));
}

}  // namespace
}  // namespace trivet::image
