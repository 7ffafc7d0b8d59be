#include "runtime/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "temporary_home.h"

namespace trivet::runtime {
namespace {

using testing::HasSubstr;

class Names : public testing::Test {
 protected:
  std::string add(const std::string& id, const std::string& name) {
    monitor::Record record;
    record.id = id;
    record.name = name;
    make_container(home_, record);
    EXPECT_TRUE(claim_name(home_, name, id));
    return id;
  }

  TemporaryDirectory directory_;
  Home home_ = make_home(directory_);
  const std::string first_ = std::string(62, '0') + "aa";
  const std::string second_ = "ab" + std::string(62, '1');
};

TEST(Name, Charset) {
  EXPECT_TRUE(check_name("web.1-a_B"));
  for (const char* bad : {"", "-a", ".a", "a/b", "a b", "ä1"}) EXPECT_FALSE(check_name(bad)) << bad;
  EXPECT_FALSE(check_name(std::string(129, 'a')));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(check_name(make_name()));
}

TEST_F(Names, AreFoundByNameIdAndPrefix) {
  add(first_, "web");
  add(second_, "db");
  EXPECT_EQ(*find_id(home_, "web"), first_);
  EXPECT_EQ(*find_id(home_, second_), second_);
  EXPECT_EQ(*find_id(home_, "ab"), second_);
  EXPECT_EQ(find_id(home_, "cache").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(find_id(home_, "").error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(find_id(home_, "../data").error().code(), ErrorCode::kNotFound);
}

TEST_F(Names, AmbiguousPrefixIsAnError) {
  add(first_, "web");
  add(std::string(62, '0') + "ab", "db");
  EXPECT_THAT(find_id(home_, "00").error().message(), HasSubstr("several"));
}

TEST_F(Names, NameWinsOverPrefix) {
  add(second_, "web");
  add(first_, "ab");
  EXPECT_EQ(*find_id(home_, "ab"), first_);
}

TEST_F(Names, TakenNameNamesItsHolder) {
  add(first_, "web");
  const auto claimed = claim_name(home_, "web", second_);
  ASSERT_FALSE(claimed);
  EXPECT_EQ(claimed.error().code(), ErrorCode::kAlreadyExists);
  EXPECT_THAT(claimed.error().message(), HasSubstr(first_.substr(0, 12)));
}

TEST_F(Names, ClaimOfAGoneContainerIsTakenOver) {
  add(first_, "web");
  ASSERT_TRUE(remove_tree(AT_FDCWD, home_.directories.container(first_)));
  EXPECT_TRUE(claim_name(home_, "web", second_));
}

TEST_F(Names, OnlyTheHolderReleases) {
  add(first_, "web");
  EXPECT_TRUE(monitor::release_name(home_.directories, "web", second_));
  EXPECT_EQ(*find_id(home_, "web"), first_);
  EXPECT_TRUE(monitor::release_name(home_.directories, "web", first_));
  EXPECT_FALSE(find_id(home_, "web"));
  EXPECT_TRUE(monitor::release_name(home_.directories, "web", first_));
}

}  // namespace
}  // namespace trivet::runtime
