// Images.
#include <algorithm>

#include "contract.h"

namespace trivet::contract {

namespace {

TEST_F(Contract, AnImageIsDescribed) {
  const Image image = runtime.image(bench().image);
  EXPECT_EQ(image.ref(), bench().image);
  EXPECT_EQ(image.exists(), true);
  const auto id = image.id();
  ASSERT_OK(id);
  ASSERT_TRUE(*id);
  EXPECT_TRUE((*id)->starts_with("sha256:"));
  const auto repository = image.repository();
  const auto tag = image.tag();
  ASSERT_OK(repository);
  ASSERT_OK(tag);
  EXPECT_EQ(**repository + ":" + **tag, bench().image);
  const auto size = image.size();
  ASSERT_OK(size);
  EXPECT_GT(size->value_or(0), 0U);
  const auto created = image.created();
  ASSERT_OK(created);
  EXPECT_TRUE(*created);
  const auto labels = image.labels();
  ASSERT_OK(labels);
  EXPECT_EQ(labels->at("purpose"), "contract");
  const auto history = image.history();
  ASSERT_OK(history);
  ASSERT_EQ(history->size(), 2U);
  EXPECT_EQ(history->front().created_by, "layer 1") << "the top layer first";
  EXPECT_GIVES(*id, runtime.image(**id).id());  // an id is a reference, too
}

TEST_F(Contract, AbsentImagesGiveEmptyResults) {
  const Image absent = runtime.image("docker.io/library/absent:latest");
  EXPECT_EQ(absent.exists(), false);
  EXPECT_GIVES(std::nullopt, absent.id());
  EXPECT_GIVES(std::nullopt, absent.repository());
  EXPECT_GIVES(std::nullopt, absent.tag());
  EXPECT_GIVES(std::nullopt, absent.size());
  EXPECT_EQ(absent.remove(), false);
  const auto labels = absent.labels();
  const auto history = absent.history();
  ASSERT_OK(labels);
  ASSERT_OK(history);
  EXPECT_TRUE(labels->empty());
  EXPECT_TRUE(history->empty());
}

TEST_F(Contract, ImagesAreListed) {
  const auto all = runtime.images();
  ASSERT_OK(all);
  EXPECT_NE(std::ranges::find(*all, runtime.image(bench().image)), all->end());
  const auto dangling = runtime.images(true);
  ASSERT_OK(dangling);
  for (const Image& image : *dangling) EXPECT_EQ(image.tag(), "<none>");
}

TEST_F(Contract, AnImageInUseStays) {
  const auto box = runtime.create(options("box", {"exit", "0"}));
  ASSERT_OK(box);
  EXPECT_CODE(kWrongState, runtime.image(bench().image).remove());
  EXPECT_EQ(runtime.image(bench().image).exists(), true);
}

}  // namespace

}  // namespace trivet::contract
