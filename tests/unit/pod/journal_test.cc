#include "pod/journal.h"

#include <array>
#include <fcntl.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/fs.h"
#include "pod/remove.h"

namespace trivet::pod {
namespace {

class Journals : public testing::Test {
 protected:
  void SetUp() override {
    std::array<char, 40> name{"/tmp/trivet-journal-test-XXXXXX"};
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name.data();
    paths_ = {.directories = {.data = root_ + "/data", .state = root_ + "/state"},
              .id = std::string(64, 'a')};
    ASSERT_TRUE(make_dirs(paths_.directories.data));
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, root_); }

  [[nodiscard]] JournalHead head() const {
    return {.id = paths_.id,
            .name = "web",
            .cgroup_parent = "/trivet-pod-a",
            .containers = {{.id = std::string(64, 'b'), .name = "web-app"}}};
  }
  void append(std::string_view text) const {
    const auto fd = open_file(paths_.journal(), O_WRONLY | O_APPEND);
    ASSERT_TRUE(fd && write_all(fd->get(), text, "journal"));
  }
  [[nodiscard]] JournalContent read() const {
    auto content = read_journal(paths_);
    EXPECT_TRUE(content) << content.error().message();
    return content.value_or(JournalContent{});
  }

  std::string root_;
  PodPaths paths_;
};

TEST_F(Journals, TellWhatWasPlannedAndHowFarItCame) {
  const auto journal = Journal::begin(paths_, head());
  ASSERT_TRUE(journal) << journal.error().message();
  EXPECT_FALSE(read().committed);
  ASSERT_TRUE(journal->note(Step::kCreate, "app"));
  ASSERT_TRUE(journal->note(Step::kRunning));
  ASSERT_TRUE(journal->note(Step::kStopping));
  const JournalContent content = read();
  ASSERT_TRUE(content.head);
  EXPECT_EQ(content.head->name, "web");
  EXPECT_EQ(content.head->cgroup_parent, "/trivet-pod-a");
  ASSERT_EQ(content.head->containers.size(), 1U);
  EXPECT_EQ(content.head->containers[0].name, "web-app");
  EXPECT_TRUE(content.committed);
  EXPECT_EQ(content.last, Step::kStopping);
}

TEST_F(Journals, AreHeldByOneAtATime) {
  {
    const auto journal = Journal::begin(paths_, head());
    ASSERT_TRUE(journal);
    EXPECT_TRUE(is_held(paths_));
    const auto other = Journal::take(paths_);
    ASSERT_TRUE(other);
    EXPECT_FALSE(*other);
    // A second owner of the same description, as the supervisor is, keeps it held.
    const Journal heir = Journal::adopt(UniqueFd(fcntl(journal->fd(), F_DUPFD_CLOEXEC, 0)));
    EXPECT_TRUE(heir.note(Step::kFiles));
  }
  EXPECT_FALSE(is_held(paths_));
  const auto taken = Journal::take(paths_);
  ASSERT_TRUE(taken && *taken);
  EXPECT_TRUE(is_held(paths_));
}

TEST_F(Journals, AreMadeOnce) {
  const auto journal = Journal::begin(paths_, head());
  ASSERT_TRUE(journal);
  EXPECT_FALSE(Journal::begin(paths_, head()));
  EXPECT_TRUE(exists(paths_.journal()));
}

TEST_F(Journals, LeaveOutWhatIsTorn) {
  ASSERT_TRUE(Journal::begin(paths_, head()));
  append(
      "{\"step\":\"running\",\"subject\":\"\"}\n{\"step\":\"unheard "
      "of\"}\nnonsense\n{\"step\":\"sto");
  const JournalContent torn = read();
  EXPECT_TRUE(torn.committed);
  EXPECT_EQ(torn.last, Step::kRunning);
  // Whoever takes it ends the line, so that what follows is read.
  const auto journal = Journal::take(paths_);
  ASSERT_TRUE(journal && *journal);
  ASSERT_TRUE((*journal)->note(Step::kEnded));
  EXPECT_EQ(read().last, Step::kEnded);
}

TEST_F(Journals, WithoutAnythingBelongToADirectoryThatIsRemoved) {
  ASSERT_TRUE(make_dirs(paths_.data()));
  ASSERT_TRUE(recover_pods(paths_.directories));
  EXPECT_FALSE(exists(paths_.data()));
}

TEST_F(Journals, OfAPodThatEndedAreLeftAlone) {
  {
    const auto journal = Journal::begin(paths_, head());
    ASSERT_TRUE(journal && journal->note(Step::kRunning) && journal->note(Step::kEnded));
  }
  const auto before = read_file(paths_.journal());
  ASSERT_TRUE(recover_pods(paths_.directories));
  EXPECT_EQ(read_file(paths_.journal()).value_or(""), before.value_or("-"));
}

TEST_F(Journals, NamesAreClaimedOnceAndReleasedByTheirOwner) {
  ASSERT_TRUE(Journal::begin(paths_, head()));
  ASSERT_TRUE(claim_pod_name(paths_.directories, "web", paths_.id));
  const auto again = claim_pod_name(paths_.directories, "web", std::string(64, 'c'));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), ErrorCode::kAlreadyExists);
  ASSERT_TRUE(release_pod_name(paths_.directories, "web", std::string(64, 'c')));
  EXPECT_EQ(find_pod_name(paths_.directories, "web"), paths_.id);
  ASSERT_TRUE(release_pod_name(paths_.directories, "web", paths_.id));
  EXPECT_FALSE(find_pod_name(paths_.directories, "web"));
}

TEST_F(Journals, ANameOfAPodThatIsGoneIsFree) {
  ASSERT_TRUE(claim_pod_name(paths_.directories, "web", std::string(64, 'd')));
  EXPECT_FALSE(find_pod_name(paths_.directories, "web"));
  EXPECT_TRUE(claim_pod_name(paths_.directories, "web", paths_.id));
}

}  // namespace
}  // namespace trivet::pod
