// What is asked of podman, and what is made of its answers; tests/callers has the real one.
#include <fstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/podman_cli.h"
#include "backend/podman_json.h"
#include "backend/podman_log.h"
#include "backend/podman_plan.h"
#include "base/text.h"

namespace trivet::backend {
namespace {

using std::string_literals::operator""s;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kPs = R"([{
  "AutoRemove": false, "Command": ["sleep", "100"], "CreatedAt": "2 seconds ago", "Exited": true,
  "ExitedAt": 1795996735, "ExitCode": 137,
  "Id": "456a8af5195478fdfacc34518088203882145092c4bf8e26ab95491c202486db",
  "Image": "localhost/box:latest", "ImageID": "c794a65eeb92", "IsInfra": false,
  "Labels": {"x": "1"}, "Mounts": [], "Names": ["web"], "Namespaces": {}, "Networks": [], "Pid": 0,
  "Pod": "", "PodName": "",
  "Ports": [{"host_ip": "127.0.0.1", "container_port": 80, "host_port": 8080, "range": 2,
             "protocol": "tcp"}],
  "Restarts": 3, "Size": {"rootFsSize": 1984294, "rwSize": 12}, "StartedAt": 1795996727,
  "State": "exited", "Status": "Exited (137) 1 second ago", "Created": 1795996726
}, {
  "Command": null, "ExitedAt": -62135596800, "ExitCode": 0, "Id": "b", "Image": "", "ImageID": "",
  "Labels": null, "Names": ["new"], "Pid": 0, "Pod": "", "Ports": null, "Size": null,
  "StartedAt": -62135596800, "State": "created", "Created": 1795996800
}])";

TEST(PodmanPs, GivesContainersNewestFirst) {
  const auto list = parse_podman_ps(kPs);
  ASSERT_TRUE(list) << list.error().message();
  ASSERT_EQ(list->size(), 2U);
  const ContainerInfo& fresh = list->front();
  EXPECT_EQ(fresh.name, "new");
  EXPECT_EQ(fresh.status, ContainerStatus::kCreated);
  EXPECT_FALSE(fresh.started);
  EXPECT_FALSE(fresh.finished);
  EXPECT_FALSE(fresh.rw_size);
  const ContainerInfo& web = list->back();
  EXPECT_EQ(web.status, ContainerStatus::kStopped);
  EXPECT_EQ(web.exit_code, 137);
  EXPECT_EQ(web.image_id, "sha256:c794a65eeb92");
  EXPECT_THAT(web.command, ElementsAre("sleep", "100"));
  EXPECT_EQ(web.rw_size, 12U);
  EXPECT_EQ(web.restart_count, 3);
  EXPECT_EQ(web.labels.at("x"), "1");
  ASSERT_EQ(web.ports.size(), 2U);
  EXPECT_EQ(web.ports[1].host_port, 8081);
  EXPECT_EQ(web.ports[1].container_port, 81);
  EXPECT_EQ(format_rfc3339(*web.finished), "2026-11-29T23:58:55.000000000Z");
}

TEST(PodmanPs, AnEmptyListHasManyForms) {
  for (const char* text : {"", "\n", "[]", "null"}) EXPECT_TRUE(parse_podman_ps(text)->empty());
}

TEST(PodmanPs, WhatIsNoListOfContainersIsCorrupt) {
  for (const char* text :
       {"{", "{}", "[1]", "[{}]", R"([{"Id": "a", "Names": [], "State": "x"}])",
        R"([{"Id": 1, "Names": ["a"], "State": "running"}])",
        R"([{"Id": "a", "Names": "a", "State": "running"}])",
        R"([{"Id": "a", "Names": ["a"], "State": "running", "Pid": "1"}])",
        R"([{"Id": "a", "Names": ["a"], "State": "running", "ExitCode": 99999999999}])",
        R"([{"Id": "a", "Names": ["a"], "State": "running", "Ports": [{"host_port": 70000}]}])",
        R"([{"Id": "a", "Names": ["a"], "State": "running",
             "Ports": [{"host_port": 65535, "range": 2}]}])",
        R"([{"Id": "a", "Names": ["a"], "State": "running", "Size": {"rwSize": -1}}])",
        R"([{"Id": "a", "Names": ["a"], "State": "running", "Labels": ["x"]}])"}) {
    const auto list = parse_podman_ps(text);
    ASSERT_FALSE(list) << text;
    EXPECT_EQ(list.error().code(), ErrorCode::kCorrupt) << list.error().message();
    EXPECT_THAT(list.error().message(), HasSubstr("podman ps"));
  }
}

TEST(PodmanPs, AStateThatIsNewIsBroken) {
  const auto list = parse_podman_ps(R"([{"Id": "a", "Names": ["a"], "State": "dreaming"}])");
  EXPECT_EQ(list->front().status, ContainerStatus::kBroken);
}

TEST(PodmanImages, AreListed) {
  const auto list = parse_podman_images(R"([
    {"Id": "c7", "RepoTags": null, "Size": 2141287, "Labels": null, "Digest": "sha256:3e",
     "Names": ["localhost/box:latest"], "Created": 1795996725},
    {"Id": "d8", "Size": 1, "Labels": {"a": "b"}, "Created": 0}])");
  ASSERT_TRUE(list) << list.error().message();
  EXPECT_EQ(list->front().id, "sha256:c7");
  EXPECT_THAT(list->front().names, ElementsAre("localhost/box:latest"));
  EXPECT_TRUE(list->back().names.empty());
  EXPECT_FALSE(parse_podman_images(R"([{"Size": 1}])"));
}

TEST(PodmanImage, HasAHistoryNewestFirst) {
  const auto image = parse_podman_image(R"([{
    "Id": "c7", "Digest": "sha256:3e", "RepoTags": ["localhost/box:latest"], "Size": 5,
    "Created": "2026-11-29T23:58:45.144168523Z", "Os": "linux", "Architecture": "amd64",
    "Labels": {"purpose": "x"},
    "History": [{"created": "2024-01-01T00:00:00Z", "created_by": "layer 0"},
                {"created_by": "CMD", "empty_layer": true, "comment": "c"}]}])");
  ASSERT_TRUE(image) << image.error().message();
  EXPECT_EQ(image->info.os, "linux");
  ASSERT_EQ(image->history.size(), 2U);
  EXPECT_EQ(image->history[0].created_by, "CMD");
  EXPECT_TRUE(image->history[0].empty_layer);
  EXPECT_FALSE(image->history[1].empty_layer);
  for (const char* text :
       {"[]", R"([{"Id": "a"}, {"Id": "b"}])", R"([{"Id": "a", "Created": "?"}])"}) {
    EXPECT_EQ(parse_podman_image(text).error().code(), ErrorCode::kCorrupt) << text;
  }
}

TEST(PodmanError, GetsOurCode) {
  const auto code = [](std::string_view text) { return podman_error(text).code(); };
  EXPECT_EQ(code("Error: no container with name or ID \"x\" found: no such container\n"),
            ErrorCode::kNotFound);
  EXPECT_EQ(code("Error: inspecting object: x: image not known"), ErrorCode::kNotFound);
  EXPECT_EQ(code("time=\"…\" level=warning\nError: creating container storage: the container name "
                 "\"a\" is already in use by 45. You have to remove that container to be able to "
                 "reuse that name: that name is already in use"),
            ErrorCode::kAlreadyExists);
  EXPECT_EQ(code("Error: can only create exec sessions on running containers: container state "
                 "improper"),
            ErrorCode::kWrongState);
  EXPECT_EQ(code("Error: crun: executable file `x` not found in $PATH: No such file or directory: "
                 "OCI runtime attempted to invoke a command that was not found"),
            ErrorCode::kCommandNotFound);
  EXPECT_EQ(code("Error: crun: open executable: Permission denied: OCI permission denied"),
            ErrorCode::kCommandNotExecutable);
  EXPECT_EQ(code("Error: something new"), ErrorCode::kSystem);
  EXPECT_EQ(code("the container's own words: no such container"), ErrorCode::kSystem);
  EXPECT_EQ(podman_error("Error: a\x1b[2Jb\n").message(), "podman: a\\x1b[2Jb");
}

TEST(PodmanCreate, HasOneWordForEachOption) {
  RunOptions options;
  options.image = "alpine";
  options.command = {"--privileged", "x y", ""};
  options.name = "web";
  options.entrypoint = std::vector<std::string>{"/a \"b\""};
  options.env = {"A=-v /:/host", "B"};
  options.labels = {{"l", "v=w"}};
  options.volumes = {"/a:/b:ro"};
  options.publish = {"127.0.0.1:80:80"};
  options.memory = 1000;
  options.user = "--privileged";
  options.restart = {.kind = RestartPolicy::Kind::kOnFailure, .max_retries = 3};
  const auto words = plan_podman_create(options);
  ASSERT_TRUE(words) << words.error().message();
  for (const char* word :
       {"--name=web", R"(--entrypoint=["/a \"b\""])", "--env=A=-v /:/host", "--env=B",
        "--label=l=v=w", "--volume=/a:/b:ro", "--publish=127.0.0.1:80:80", "--memory=1000",
        "--user=--privileged", "--restart=on-failure:3", "--pull=missing"}) {
    EXPECT_THAT(*words, Contains(word));
  }
  const auto end = std::ranges::find(*words, "--");
  EXPECT_THAT(std::vector<std::string>(end, words->end()),
              ElementsAre("--", "alpine", "--privileged", "x y", ""));
  EXPECT_EQ(std::count(words->begin(), end, "--privileged"), 0);
  EXPECT_THAT(*words, testing::Not(Contains("--network=pasta")));
}

TEST(PodmanCreate, ARootDirectoryIsChangedOnlyWhenThatIsAskedFor) {
  RunOptions options;
  options.rootfs = "/root";
  EXPECT_THAT(*plan_podman_create(options), Contains("/root:O"));
  options.rootfs_write = true;
  EXPECT_THAT(*plan_podman_create(options), Contains("/root"));
  options.image = "alpine";
  EXPECT_EQ(plan_podman_create(options).error().code(), ErrorCode::kInvalidArgument);
}

TEST(PodmanCreate, RefusesWhatPodmanHasNothingFor) {
  const auto refusal = [](auto change) {
    RunOptions options;
    options.image = "alpine";
    change(options);
    const auto words = plan_podman_create(options);
    return words ? "fine" : std::string(error_code_name(words.error().code()));
  };
  EXPECT_EQ(refusal([](auto&) {}), "fine");
  EXPECT_EQ(refusal([](auto& o) { o.isolation = "native"; }), "fine");
  EXPECT_EQ(refusal([](auto& o) { o.isolation = "microvm"; }), "unsupported");
  EXPECT_EQ(refusal([](auto& o) { o.isolation = "wasm"; }), "unsupported");
  EXPECT_EQ(refusal([](auto& o) { o.disk_size = "1g"; }), "unsupported");
  EXPECT_EQ(refusal([](auto& o) { o.fuel = "off"; }), "unsupported");
  EXPECT_EQ(refusal([](auto& o) {
              o.mounts = {{.type = "bind", .source = "/a,b", .destination = "/c"}};
            }),
            "invalid-argument");
}

TEST(PodmanLog, LinesHaveTheirTimes) {
  const auto line =
      parse_podman_log_line("2026-11-29T23:58:55.132825490Z two words ", LogLine::Stream::kStderr);
  EXPECT_EQ(line.text, "two words ");
  EXPECT_EQ(line.stream, LogLine::Stream::kStderr);
  EXPECT_EQ(format_rfc3339(line.time), "2026-11-29T23:58:55.132825490Z");
  EXPECT_EQ(parse_podman_log_line("2026-11-29T23:58:55Z", LogLine::Stream::kStdout).text, "");
  EXPECT_EQ(parse_podman_log_line("Error: no time", LogLine::Stream::kStdout).text,
            "Error: no time");
  EXPECT_EQ(parse_podman_log_line("1795996735 x", LogLine::Stream::kStdout).text, "1795996735 x");
}

TEST(PodmanCli, SaysThatThereIsNoPodman) {
  const auto missing = PodmanRuntime::open({.program = "/nowhere/podman"});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(missing.error().hint_text(), HasSubstr("install podman"));
}

TEST(PodmanCli, GivesPodmanNoNulBytesAndNotMoreThanItsTime) {
  const PodmanCli sleeper({.program = "sleep"});
  EXPECT_EQ(sleeper.run({"60"}, std::chrono::seconds(0)).error().code(), ErrorCode::kTimeout);
  EXPECT_EQ(sleeper.run({"1\0x"s}, std::chrono::seconds(5)).error().code(),
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace trivet::backend
