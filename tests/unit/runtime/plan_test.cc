// Golden tests: the spec of typical options, compared with the files in data/. After a wanted
// change TRIVET_UPDATE_GOLDEN=1 in the environment writes them anew.
#include "runtime/plan.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace trivet::runtime {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string data_path(const std::string& name) {
  return TEST_DATA_DIR "/" + name + ".json";
}

std::string read_golden(const std::string& name) {
  std::ifstream file(data_path(name));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class PlanTest : public testing::Test {
 protected:
  PlanTest() {
    options.image = "busybox";
    options.security_opt = {"seccomp=unconfined"};
    options.network = "none";
    root.defaults.cmd = {"sh"};
    root.defaults.env = {"PATH=/bin", "LANG=C"};
    root.defaults.working_dir = "/work";
    root.image_id = "sha256:1234";
    root.layers = {"/data/layers/b/diff", "/data/layers/a/diff"};
    root.home = "/root";
    host.hostname = "host";
    host.working_directory = "/home/me";
    host.init_program = "/usr/libexec/trivet/trivet-init";
    host.environment = [](const std::string& name) -> std::optional<std::string> {
      if (name == "FROM_CALLER") return "yes";
      return std::nullopt;
    };
    host.read_file = [](const std::string& path) -> Result<std::string> {
      if (path == "env") return "# comment\nA=1\nFROM_CALLER\n";
      return fail(ErrorCode::kNotFound, "open \"{}\"", path);
    };
    host.devices_at = [](const std::string& path) -> Result<std::vector<oci::Device>> {
      return std::vector<oci::Device>{{.path = path == "/dev" ? "/dev/kmsg" : path,
                                       .type = 'c',
                                       .major = 10,
                                       .minor = 229,
                                       .file_mode = 0666U}};
    };
    host.make_volume_name = [] { return std::string(64, 'f'); };
    identity = {.id = std::string(64, 'a'),
                .name = "brave_heron",
                .created = {},
                .directory = "/data/containers/ID"};
  }

  Result<Plan> plan() {
    return plan_container({.options = options,
                           .root = root,
                           .host = host,
                           .joined = joined,
                           .identity = identity,
                           .directories = {.data = "/data", .state = "/state"}});
  }
  Plan good_plan() {
    auto made = plan();
    if (made) return std::move(*made);
    ADD_FAILURE() << made.error().message();
    return {};
  }
  // What is wrong with the options.
  std::string complaint() {
    const auto made = plan();
    return made ? "(nothing)" : made.error().message();
  }

  void expect_golden(const std::string& name) {
    const Plan made = good_plan();
    const std::string text = Json::parse(oci::print_spec(made.spec)).dump(2) + "\n";
    if (std::getenv("TRIVET_UPDATE_GOLDEN") != nullptr) std::ofstream(data_path(name)) << text;
    EXPECT_EQ(text, read_golden(name));
  }

  RunOptions options;
  RootFacts root;
  HostFacts host;
  JoinedContainers joined;
  Identity identity;
};

TEST_F(PlanTest, Default) {
  expect_golden("default");
}

TEST_F(PlanTest, Limits) {
  options.memory = 64 << 20;
  options.pids = 50;
  options.cpu_quota = 50000;
  options.cpuset_cpus = "0";
  options.ulimits = {"nofile=1024:2048", "core=0"};
  options.oom_score_adj = 500;
  host.swap_accounting = true;
  expect_golden("limits");
}

TEST_F(PlanTest, MountsAndVolumes) {
  options.volumes = {"/srv/data:/data:ro", "cache:/var/cache", "/anonymous"};
  options.tmpfs = {"/run:size=64m"};
  options.read_only = true;
  root.defaults.volumes = {"/from-image", "/data"};
  expect_golden("mounts");
}

TEST_F(PlanTest, Privileged) {
  options.privileged = true;
  options.security_opt.clear();
  options.ipc_mode = options.pid_mode = options.uts_mode = "host";
  options.network = "host";
  expect_golden("privileged");
}

TEST_F(PlanTest, OrdinaryUserWithInit) {
  options.user = "1000";
  root.user = {.uid = 1000, .gid = 1000, .umask = {}, .additional_gids = {4}};
  options.init = true;
  options.terminal = true;
  options.cap_add = {"NET_ADMIN"};
  options.cap_drop = {"MKNOD"};
  options.devices = {"/dev/fuse:/dev/fuse:rw"};
  options.sysctls = {{"net.ipv4.ip_forward", "1"}};
  expect_golden("user");
}

TEST_F(PlanTest, DefaultSeccompIsOn) {
  options.security_opt.clear();
  EXPECT_TRUE(good_plan().spec.linux_config->seccomp);
  options.privileged = true;
  EXPECT_FALSE(good_plan().spec.linux_config->seccomp);
}

TEST_F(PlanTest, CommandAndEntrypoint) {
  root.defaults.entrypoint = {"/entry"};
  EXPECT_THAT(good_plan().spec.process->args, ElementsAre("/entry", "sh"));
  options.command = {"ls"};
  EXPECT_THAT(good_plan().spec.process->args, ElementsAre("/entry", "ls"));
  options.entrypoint = std::vector<std::string>{"echo"};
  EXPECT_THAT(good_plan().spec.process->args, ElementsAre("echo", "ls"));
  options.command.clear();
  EXPECT_THAT(good_plan().spec.process->args, ElementsAre("echo"));
  options.entrypoint->clear();
  EXPECT_THAT(complaint(), HasSubstr("no command"));
}

TEST_F(PlanTest, EnvironmentOverridesInOrder) {
  options.env_files = {"env"};
  options.env = {"A=2", "LANG=de", "MISSING", "FROM_CALLER"};
  const auto env = good_plan().spec.process->env;
  EXPECT_THAT(env, Contains("A=2"));
  EXPECT_THAT(env, Contains("LANG=de"));
  EXPECT_THAT(env, Contains("FROM_CALLER=yes"));
  EXPECT_THAT(env, Contains("PATH=/bin"));
  EXPECT_THAT(env, Contains("HOME=/root"));
  EXPECT_THAT(env, Not(Contains(HasSubstr("MISSING"))));
  options.env = {"=x"};
  EXPECT_THAT(complaint(), HasSubstr("needs a name"));
}

TEST_F(PlanTest, JoinedNamespacesAreNoted) {
  options.network = "container:other";
  joined.network = std::string(64, 'b');
  joined.network_directory = "/data/containers/OTHER";
  const Plan made = good_plan();
  ASSERT_EQ(made.joins.size(), 1U);
  EXPECT_EQ(made.joins.front().container_id, joined.network);
  EXPECT_FALSE(made.make_network_files);
  EXPECT_THAT(made.spec.mounts,
              Contains(testing::Field(&oci::Mount::source, "/data/containers/OTHER/hosts")));
}

TEST_F(PlanTest, BadOptionsAreNamed) {
  const auto expect = [this](auto change, const char* text) {
    const RunOptions before = options;
    change(options);
    EXPECT_THAT(complaint(), HasSubstr(text));
    options = before;
  };
  expect([](RunOptions& o) { o.image.clear(); }, "an image or --rootfs");
  expect([](RunOptions& o) { o.rootfs = "/r"; }, "exclude each other");
  expect([](RunOptions& o) { o.isolation = "natve"; }, "unknown isolation \"natve\"");
  expect([](RunOptions& o) { o.publish = {"80:80"}; }, "can't be published");
  expect([](RunOptions& o) { o.ulimits = {"nofiles=1"}; }, "unknown limit");
  expect([](RunOptions& o) { o.ulimits = {"nofile=2:1"}; }, "over the hard one");
  expect([](RunOptions& o) { o.security_opt = {"apparmor=x"}; }, "no AppArmor");
  expect([](RunOptions& o) { o.security_opt = {"nonsense"}; }, "unknown option");
  expect([](RunOptions& o) { o.security_opt = {"seccomp=/missing"}; }, "/missing");
  expect([](RunOptions& o) { o.sysctls = {{"vm.swappiness", "1"}}; }, "no namespace");
  expect([](RunOptions& o) { o.network = "host", o.sysctls = {{"net.x", "1"}}; },
         "shares its network namespace");
  expect([](RunOptions& o) { o.volumes = {"/a:/x", "/b:/x"}; }, "two mounts");
  expect([](RunOptions& o) { o.memory = 1; }, "--memory");
  expect([](RunOptions& o) { o.memory = 2 << 20, o.memory_swap = 1 << 20; }, "less than");
  expect([](RunOptions& o) { o.hostname = "a b"; }, "host name");
  expect([](RunOptions& o) { o.workdir = "relative"; }, "not an absolute path");
  expect([](RunOptions& o) { o.cap_add = {"FLY"}; }, "FLY");
  expect([](RunOptions& o) { o.cgroup_parent = "../.."; }, "below the root");
  expect([](RunOptions& o) { o.remove = true, o.restart.kind = RestartPolicy::Kind::kAlways; },
         "--restart");
}

TEST(EnvFile, LinesAndComments) {
  EXPECT_THAT(*parse_env_file("A=1\r\n\n  # no\n  B\nC=a # b"), ElementsAre("A=1", "B", "C=a # b"));
  EXPECT_FALSE(parse_env_file("a b=1"));
}

}  // namespace
}  // namespace trivet::runtime
