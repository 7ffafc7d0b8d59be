#include "linux/capabilities.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::caps {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

TEST(Capability, NameInAnyForm) {
  EXPECT_EQ(parse_capability("CAP_CHOWN").value(), 0);
  EXPECT_EQ(parse_capability("chown").value(), 0);
  EXPECT_EQ(parse_capability("Sys_Admin").value(), 21);
  EXPECT_EQ(parse_capability("CHECKPOINT_RESTORE").value(), 40);
  EXPECT_EQ(capability_name(21), "CAP_SYS_ADMIN");
  EXPECT_EQ(capability_name(63), "CAP_63");
}

TEST(Capability, UnknownNameSuggestsTheNearest) {
  const auto parsed = parse_capability("CAP_SYS_ADMNI");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(parsed.error().hint_text(), HasSubstr("CAP_SYS_ADMIN"));
}

TEST(Capability, EveryNameHasItsNumber) {
  for (size_t i = 0; i < all_capabilities().size(); ++i) {
    EXPECT_EQ(parse_capability(all_capabilities()[i]).value(), static_cast<int>(i));
  }
}

TEST(Adjust, AddsAndDrops) {
  EXPECT_THAT(default_capabilities(), SizeIs(14));
  EXPECT_THAT(adjust({"CAP_CHOWN", "CAP_KILL"}, {"net_admin"}, {"kill"}).value(),
              ElementsAre("CAP_CHOWN", "CAP_NET_ADMIN"));
}

TEST(Adjust, AllWorksInBoth) {
  EXPECT_THAT(adjust(default_capabilities(), {}, {"ALL"}).value(), IsEmpty());
  EXPECT_THAT(adjust(default_capabilities(), {"CHOWN"}, {"all"}).value(), ElementsAre("CAP_CHOWN"));
  EXPECT_EQ(adjust({}, {"ALL"}, {}).value(), all_capabilities());
  EXPECT_THAT(adjust({}, {"ALL"}, {"SYS_ADMIN"}).value(), Not(Contains("CAP_SYS_ADMIN")));
  EXPECT_EQ(adjust({}, {"ALL"}, {"ALL"}).value(), all_capabilities());
}

TEST(Adjust, UnknownNameIsAnError) {
  EXPECT_FALSE(adjust({}, {"FLY"}, {}));
  EXPECT_FALSE(adjust({}, {}, {"FLY"}));
}

TEST(ParseSet, KeepsWhatIsKnownAndNamesTheRest) {
  const Parsed parsed = parse_set({"CAP_CHOWN", "CAP_FLY", "CAP_KILL"});
  EXPECT_EQ(parsed.set, 0b100001U);
  EXPECT_THAT(parsed.unknown, ElementsAre("CAP_FLY"));
}

TEST(OwnSets, PermittedIsOfKnownCapabilities) {
  const Set known = (Set{1} << all_capabilities().size()) - 1;
  EXPECT_EQ(own_permitted_set().value() & ~known, 0U);
  EXPECT_TRUE(own_bounding_set());
}

}  // namespace
}  // namespace trivet::caps
