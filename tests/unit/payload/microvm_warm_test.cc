// What containers of one command line have in common, and what is their own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "payload/microvm/warm_plan.h"

namespace trivet::payload::microvm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Container {
  oci::Spec config;
  guest::CreateRequest create;

  [[nodiscard]] WarmPlan plan() {
    create.config = oci::print_spec(config);
    create.hostname = config.hostname;
    return plan_warm(config, create);
  }
};

Container make(const std::string& hostname) {
  Container made;
  made.config.hostname = hostname;
  made.config.root.emplace();
  made.config.root->path = "/var/lib/" + hostname;
  made.config.process.emplace();
  made.config.process->args = {"echo", "hello"};
  made.config.process->env = {"A=1", "HOSTNAME=" + hostname};
  made.config.annotations["name"] = hostname;
  made.create.lower_device = "vda";
  made.create.files = {{.name = "0", .content = hostname + " 127.0.1.1"}};
  made.create.interfaces = {{.mac = "52:54:00:00:00:01", .addresses = {"10.0.2.15/24"}}};
  return made;
}

TEST(WarmPlan, IsTheSameForContainersThatDifferInTheirIdentity) {
  Container one = make("aaaaaaaaaaaa");
  Container other = make("bbbbbbbbbbbb");
  other.create.interfaces.front().mac = "52:54:00:00:00:02";
  EXPECT_EQ(guest::print(one.plan().made), guest::print(other.plan().made));
  EXPECT_EQ(one.plan().digest, other.plan().digest);
}

TEST(WarmPlan, DiffersWithWhatCanNotBeChangedLater) {
  const std::string digest = make("aaaaaaaaaaaa").plan().digest;
  Container changed = make("aaaaaaaaaaaa");
  changed.config.process->args.back() = "goodbye";
  EXPECT_NE(changed.plan().digest, digest);
  changed = make("aaaaaaaaaaaa");
  changed.config.process->env.front() = "A=2";
  EXPECT_NE(changed.plan().digest, digest);
  changed = make("aaaaaaaaaaaa");
  changed.config.process->env.back() = "HOSTNAME=mine";  // the user's own
  EXPECT_NE(changed.plan().digest, digest);
  changed = make("aaaaaaaaaaaa");
  changed.create.files.push_back({.name = "1", .content = ""});
  EXPECT_NE(changed.plan().digest, digest);
  changed = make("aaaaaaaaaaaa");
  changed.create.blocks_signals = true;
  EXPECT_NE(changed.plan().digest, digest);
  EXPECT_NE(make("aaaaaaaaaaa").plan().digest, digest);  // a shorter name has no room for a longer
}

TEST(WarmPlan, KeepsTheIdentityOutOfWhatIsSaved) {
  const WarmPlan plan = make("aaaaaaaaaaaa").plan();
  EXPECT_THAT(guest::print(plan.made), Not(HasSubstr("aaaaaaaaaaaa")));
  EXPECT_THAT(guest::print(plan.made), Not(HasSubstr("52:54:00")));
  EXPECT_EQ(plan.made.files.front().content, "");
  EXPECT_EQ(plan.made.hostname, plan.digest.substr(0, 12));
  EXPECT_THAT(plan.made.config, HasSubstr("HOSTNAME=" + plan.made.hostname));
}

TEST(WarmPlan, GivesTheIdentityAfterwards) {
  const WarmPlan plan = make("aaaaaaaaaaaa").plan();
  EXPECT_EQ(plan.adopted.hostname, "aaaaaaaaaaaa");
  EXPECT_EQ(plan.adopted.files.front().content, "aaaaaaaaaaaa 127.0.1.1");
  EXPECT_EQ(plan.adopted.interfaces.front().mac, "52:54:00:00:00:01");
  EXPECT_TRUE(guest::parse_create(guest::print(plan.adopted)));
}

}  // namespace
}  // namespace trivet::payload::microvm
