#include "cli/format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/listing.h"
#include "cli/progress.h"
#include "cli/session.h"

namespace trivet::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
using Kind = TransferEvent::Kind;

TEST(Table, AlignsAndHasNoBlanksAtTheEnd) {
  EXPECT_EQ(render_table({"A", "LONG"}, {{"value", ""}, {"é", "x"}}),
            "A       LONG\nvalue\né       x\n");
}

TEST(Table, ShowsControlCharactersInsteadOfObeyingThem) {
  const std::string text = render_table({"A"}, {{"\x1b[2Jx\ny"}});
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, HasSubstr("\\x1b[2Jx y"));
}

TEST(Template, NamesFields) {
  const Object item{{"Name", "web"}, {"State", {{"Pid", 7}}}, {"List", {1, 2}}};
  EXPECT_EQ(*render_template("{{.Name}}", item), "web");
  EXPECT_EQ(*render_template("{{ .State.Pid }}\\t{{json .List}}!", item), "7\t[1,2]!");
  EXPECT_EQ(*render_template("{{json .Name}}", item), "\"web\"");
}

TEST(Template, RefusesWhatItDoesNotKnow) {
  const Object item{{"Name", "web"}};
  EXPECT_THAT(render_template("{{.Nam}}", item).error().hint_text(), HasSubstr(".Name"));
  EXPECT_FALSE(render_template("{{range .Name}}", item));
  EXPECT_FALSE(render_template("{{.Name", item));
}

TEST(Listing, IsATableJsonOrATemplate) {
  Listing listing;
  listing.headers = {"NAME"};
  listing.add({"web"}, {{"Name", "web"}});
  EXPECT_EQ(*render_listing(listing, ""), "NAME\nweb\n");
  EXPECT_EQ(Object::parse(*render_listing(listing, "json"))[0]["Name"], "web");
  EXPECT_EQ(*render_listing(listing, "{{.Name}}"), "web\n");
  EXPECT_FALSE(render_listing(listing, "yaml"));
}

TEST(Json, SurvivesBytesThatAreNoText) {
  EXPECT_THAT(dump_line(Object("a\xff")), HasSubstr("\xef\xbf\xbd"));
}

TEST(ImageName, HasARepositoryAndATag) {
  EXPECT_EQ(split_image_name("docker.io/library/busybox:1.36").tag, "1.36");
  EXPECT_EQ(split_image_name("localhost:5000/app").repository, "localhost:5000/app");
  EXPECT_EQ(split_image_name("localhost:5000/app").tag, "latest");
  EXPECT_EQ(split_image_name("").repository, "<none>");
  EXPECT_EQ(familiar_name("docker.io/library/busybox:1"), "busybox:1");
}

TEST(Command, IsQuotedForAShell) {
  EXPECT_EQ(quoted_command({"sh", "-c", "echo it's", ""}), "sh -c 'echo it'\\''s' ''");
}

ContainerInfo container(std::string name, ContainerStatus status) {
  ContainerInfo info;
  info.id = std::string(64, 'a');
  info.name = std::move(name);
  info.status = status;
  info.image = "docker.io/library/busybox:latest";
  info.labels = {{"env", "test"}};
  info.exit_code = 3;
  return info;
}

TEST(Filter, JoinsKeysAndOffersValues) {
  ContainerFilter filter;
  ASSERT_TRUE(filter.add("status=exited"));
  ASSERT_TRUE(filter.add("name=we"));
  ASSERT_TRUE(filter.add("name=db"));
  EXPECT_TRUE(filter.wants_stopped());
  EXPECT_TRUE(filter.accepts(container("web", ContainerStatus::kStopped)));
  EXPECT_TRUE(filter.accepts(container("db", ContainerStatus::kStopped)));
  EXPECT_FALSE(filter.accepts(container("web", ContainerStatus::kRunning)));
  EXPECT_FALSE(filter.accepts(container("x", ContainerStatus::kStopped)));
}

TEST(Filter, KnowsLabelsImagesAndCodes) {
  const ContainerInfo info = container("web", ContainerStatus::kStopped);
  for (const char* good :
       {"label=env", "label=env=test", "ancestor=busybox", "exited=3", "id=aa"}) {
    ContainerFilter filter;
    ASSERT_TRUE(filter.add(good)) << good;
    EXPECT_TRUE(filter.accepts(info)) << good;
  }
  for (const char* other : {"label=x", "label=env=y", "ancestor=box", "exited=0", "id=b"}) {
    ContainerFilter filter;
    ASSERT_TRUE(filter.add(other)) << other;
    EXPECT_FALSE(filter.accepts(info)) << other;
  }
  ContainerFilter filter;
  EXPECT_FALSE(filter.add("colour=red"));
  EXPECT_FALSE(filter.add("status=asleep"));
}

TEST(Status, ReadsLikeDockers) {
  ContainerInfo info = container("web", ContainerStatus::kRunning);
  info.started = std::chrono::system_clock::now() - std::chrono::minutes(5);
  EXPECT_EQ(status_text(info), "Up 5 minutes");
  info.status = ContainerStatus::kPaused;
  EXPECT_EQ(status_text(info), "Up 5 minutes (Paused)");
  info.status = ContainerStatus::kStopped;
  info.finished = info.started;
  EXPECT_EQ(status_text(info), "Exited (3) 5 minutes ago");
}

TEST(Ports, BracketsIpv6) {
  EXPECT_EQ(ports_text({{"::1", 8080, 80, "tcp"}, {"127.0.0.1", 53, 53, "udp"}}),
            "[::1]:8080->80/tcp, 127.0.0.1:53->53/udp");
}

TEST(Errors, AreTextOrJson) {
  const Error error = Error(ErrorCode::kNotFound, "no \"x\"")
                          .hint("look")
                          .note(Error(ErrorCode::kSystem, "and more"));
  EXPECT_THAT(error_text(error), HasSubstr("trivet: no \"x\"\nhint: look\nnote: "));
  const Object object = Object::parse(error_json(error));
  EXPECT_EQ(object["code"], "not-found");
  EXPECT_EQ(object["message"], "no \"x\"");
  EXPECT_EQ(object["hint"], "look");
  EXPECT_EQ(object["notes"].size(), 1U);
}

TEST(Errors, SayOnceWhatCouldNotBeDone) {
  EXPECT_EQ(cannot("stop", "web", Error(ErrorCode::kSystem, "gone")).message(),
            "cannot stop \"web\": gone");
  EXPECT_EQ(cannot("run", "web", Error(ErrorCode::kSystem, "cannot start \"web\": x")).message(),
            "cannot start \"web\": x");
}

TEST(Progress, TellsEachLayerOnceInPlainLines) {
  ProgressBoard board;
  const std::string digest = "sha256:0123456789abcdef";
  EXPECT_EQ(board.update({Kind::kDownloading, digest, 10, 2048, ""}), "");
  EXPECT_EQ(board.update({Kind::kDownloaded, digest, 2048, 2048, ""}),
            "0123456789ab: downloaded 2.00 KiB");
  EXPECT_EQ(board.update({Kind::kUnpacking, digest, 1, 9000, ""}), "");
  EXPECT_EQ(board.update({Kind::kUnpacked, digest, 0, 0, ""}), "0123456789ab: unpacked");
  EXPECT_EQ(board.update({Kind::kExists, "sha256:ff", 0, 0, ""}), "ff: already here");
  EXPECT_EQ(board.draw(80).size(), 2U);
}

TEST(Progress, FitsTheTerminal) {
  ProgressBoard board;
  board.update({Kind::kDownloading, "sha256:0123456789abcdef", 512, 1024, ""});
  for (const size_t width : {20U, 50U, 79U, 200U}) {
    EXPECT_LE(board.draw(width).front().size(), width);
  }
  EXPECT_THAT(board.draw(79).front(), HasSubstr("512 B / 1.00 KiB"));
  EXPECT_THAT(board.draw(79).front(), HasSubstr("=>"));
}

}  // namespace
}  // namespace trivet::cli
