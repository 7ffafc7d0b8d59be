#include "trivet/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/runtime_name.h"
#include "config/keys.h"
#include "config/project.h"

namespace trivet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Files of a user of its own: nothing of the host's configuration is read.
class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"TRIVET_RUNTIME", "TRIVET_EXPERIMENTAL", "TRIVET_DATA_DIR",
                             "TRIVET_STATE_DIR", "TRIVET_CONFIG"}) {
      unsetenv(name);
    }
    std::string path = testing::TempDir() + "/config-XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    base_ = std::filesystem::canonical(path).string();
    setenv("HOME", (base_ + "/home").c_str(), 1);
    std::filesystem::create_directories(base_ + "/home/repo/deep/er");
  }
  void TearDown() override {
    for (const char* name : {"TRIVET_RUNTIME", "TRIVET_EXPERIMENTAL"}) unsetenv(name);
    std::filesystem::remove_all(base_);
  }

  std::string write(const std::string& name, const std::string& text) {
    const std::string path = base_ + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  Result<Configuration> load(const std::string& config, const std::string& project = "") {
    if (!project.empty()) write("home/repo/project.yml", project);
    return Configuration::load(
        {.file = write("config.yml", config), .directory = base_ + "/home/repo/deep/er"});
  }
  static std::string all_of(const Error& error) {
    std::string text = error.message();
    for (const std::string& note : error.notes()) text += "\n" + note;
    return text;
  }

  std::string base_;
};

TEST_F(ConfigTest, NothingConfiguredIsTheDefaults) {
  const auto empty = load("");
  ASSERT_TRUE(empty) << empty.error().message();
  EXPECT_EQ(empty->settings().max_containers, 1024);
  EXPECT_EQ(empty->settings().runtime, "");
  for (const SettingInfo& info : empty->describe()) {
    EXPECT_EQ(origin_text(info.origin), "default") << info.key;
  }
}

// A value of each key other than its default, as a file would have it.
std::string other_value(const config::Key& key) {
  switch (key.form) {
    case config::Form::kFlag:
      return config::value_text(config::value_json(key, Settings{})) == "true" ? "false" : "true";
    case config::Form::kChoice:
      return config::value_text(config::value_json(key, Settings{})) == key.choices.back()
                 ? key.choices.front()
                 : key.choices.back();
    case config::Form::kRuntime:
      return "microvm";
    case config::Form::kPath:
      return "/somewhere";
    case config::Form::kCpus:
      return "1.5";
    case config::Form::kSize:
      return "200m";
    case config::Form::kTime:
      return "45s";
    default:
      return "7";
  }
}

TEST_F(ConfigTest, EveryKeyIsReadWhereItStandsAndWrittenTheSameWay) {
  for (const config::Key& key : config::keys()) {
    const std::string path = key.path;
    const std::string value = other_value(key);
    const size_t dot = path.find('.');
    const std::string text =
        dot == std::string::npos
            ? fmt::format("\n{}: {}\n", path, value)
            : fmt::format("{}:\n  {}: {}\n", path.substr(0, dot), path.substr(dot + 1), value);
    const auto loaded = load(text);
    ASSERT_TRUE(loaded) << path << ": " << all_of(loaded.error());
    EXPECT_EQ(config::value_text(config::value_json(key, loaded->settings())), value) << path;
    EXPECT_NE(config::value_json(key, loaded->settings()), config::value_json(key, Settings{}))
        << path;
    EXPECT_EQ(origin_text(loaded->origin(path)), base_ + "/config.yml:2") << path;
  }
}

TEST_F(ConfigTest, AllThatIsWrongIsSaidAtOnceWithItsPlace) {
  const auto wrong = load(
      "runtme: native\n"
      "run:\n"
      "  memory: lots\n"
      "  pids: 0\n"
      "  network: [a]\n"
      "  pull: allways\n"
      "limits: 5\n"
      "microvm: {cpus: 9}\n"
      "registries:\n"
      "  docker.io: {miror: [], plain-http: 1, mirrors: [mirror.example]}\n"
      "  https://quay.io: {}\n"
      "  registry-1.docker.io: {}\n");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(wrong.error().message(), HasSubstr("config.yml:1:1: runtme: unknown key"));
  EXPECT_THAT(wrong.error().hint_text(), HasSubstr("did you mean \"runtime\"?"));
  const std::string all = all_of(wrong.error());
  EXPECT_THAT(all, HasSubstr("config.yml:3:3: run.memory: \"lots\" is not a size"));
  EXPECT_THAT(all, HasSubstr("config.yml:4:3: run.pids: 0: it is 1 to 4194304, or none"));
  EXPECT_THAT(all, HasSubstr("config.yml:5:3: run.network: one value is expected, not a list"));
  EXPECT_THAT(all, HasSubstr("config.yml:6:3: run.pull: \"allways\": it is one of"));
  EXPECT_THAT(all, HasSubstr("did you mean \"always\"?"));
  EXPECT_THAT(all, HasSubstr("config.yml:7:9: limits: a structure with names is expected"));
  EXPECT_THAT(all, HasSubstr("microvm.cpus: 9: it is 1 to 8"));
  EXPECT_THAT(all, HasSubstr("config.yml:10:15: registries.docker.io.miror: unknown key (did you "
                             "mean \"mirrors\"?)"));
  EXPECT_THAT(all, HasSubstr("registries.docker.io.plain-http: \"1\" is neither true nor false"));
  EXPECT_THAT(all, HasSubstr("registries.docker.io.mirrors: \"mirror.example\" is no URL of a host "
                             "(write it as https://HOST"));
  EXPECT_THAT(all, HasSubstr("config.yml:11:3: registries.https://quay.io: it is no host"));
  EXPECT_THAT(all, HasSubstr("config.yml:12:3: registries.registry-1.docker.io: it is no host of a "
                             "registry (the registry of Docker Hub is called docker.io)"));
}

TEST_F(ConfigTest, WhatIsNoConfigurationAtAllIsRefused) {
  for (const char* text : {"runtime:\n",
                           "- a\n",
                           "a\n",
                           "runtime: native\n---\nruntime: wasm\n",
                           "runtime: native\nruntime: wasm\n",
                           "run: {memory: -1}\n",
                           "\tx: 1\n",
                           "run: {cpus: 1e300}\n",
                           "run: {fuel: never}\n",
                           "limits: {containers: 1.5}\n",
                           "directories: {data: relative}\n",
                           "runtime: runc\n",
                           "registries: []\n",
                           "registries: {docker.io: yes}\n",
                           "registries: {docker.io: {ca-file: relative}}\n",
                           "registries: {docker.io: {mirrors: https://a}}\n",
                           "registries: {a: {mirrors: [[]]}}\n",
                           "registries: {a: {mirrors: [\"https://a/b\"]}}\n",
                           "registries: {a: {mirrors: [\"https://u@a\"]}}\n",
                           "registries: {\"a:b\": {}}\n",
                           "registries: {\"[::1\": {}}\n",
                           "registries: {\"\": {}}\n"}) {
    EXPECT_FALSE(load(text)) << text;
  }
  EXPECT_FALSE(Configuration::load({.file = base_ + "/absent.yml"}));
  EXPECT_FALSE(Configuration::load({.file = base_}));
}

TEST_F(ConfigTest, UnknownRuntimesListTheKnownOnesWhereverTheyStand) {
  for (const bool in_file : {true, false}) {
    if (!in_file) setenv("TRIVET_RUNTIME", "mikrovm", 1);
    const auto wrong = load(in_file ? "runtime: mikrovm" : "");
    ASSERT_FALSE(wrong);
    EXPECT_THAT(wrong.error().message(), HasSubstr("unknown runtime \"mikrovm\""));
    EXPECT_THAT(
        wrong.error().hint_text(),
        HasSubstr("did you mean \"microvm\"? known are native, microvm, wasm, null, crun, krun"));
  }
}

TEST_F(ConfigTest, TheStrongerSourceWins) {
  const auto runtime = [](const Result<Configuration>& loaded) {
    return loaded->settings().runtime;
  };
  EXPECT_EQ(runtime(load("runtime: crun")), "native");
  EXPECT_EQ(runtime(load("runtime: null")), "null") << "it is a name";
  EXPECT_EQ(runtime(load("runtime: native", "runtime: krun")), "microvm");
  setenv("TRIVET_RUNTIME", "native", 1);
  const auto loaded = load("runtime: wasm", "runtime: microvm");
  ASSERT_TRUE(loaded) << loaded.error().message();
  EXPECT_EQ(runtime(loaded), "native");
  EXPECT_EQ(origin_text(loaded->origin("runtime")), "TRIVET_RUNTIME");
  EXPECT_THAT(loaded->files(),
              ElementsAre(base_ + "/config.yml", base_ + "/home/repo/project.yml"));
}

TEST_F(ConfigTest, AProjectMayOnlyAskForMoreIsolationAndLess) {
  EXPECT_TRUE(load("runtime: wasm\nrun: {memory: 1g}", "runtime: microvm\nrun: {memory: 512m}"));
  EXPECT_TRUE(load("", "run: {memory: 512m, network: none, pids: 5, fuel: 10}"));
  const auto weaker = load("\nruntime: microvm\nrun: {memory: 1g, network: none}",
                           "runtime: native\nrun:\n  memory: 2g\n  network: pasta\n  pids: 5\n");
  ASSERT_FALSE(weaker);
  const std::string all = all_of(weaker.error());
  EXPECT_THAT(all,
              HasSubstr("project.yml:1:1: runtime: a project may not weaken \"microvm\", which "
                        "is from " +
                        base_ + "/config.yml:2"));
  EXPECT_THAT(all, HasSubstr("project.yml:3:3: run.memory: a project may not weaken \"1g\""));
  EXPECT_THAT(all, HasSubstr("project.yml:4:3: run.network: a project may not weaken \"none\""));
  EXPECT_THAT(all, testing::Not(HasSubstr("run.pids")));
  EXPECT_FALSE(load("", "run: {network: host}"));
  EXPECT_FALSE(load("run: {pids: 5}", "run: {pids: none}"));
  EXPECT_FALSE(load("", "run: {fuel: off}"));
  for (const char* key :
       {"experimental: true", "directories: {data: /tmp}", "limits: {containers: 5}",
        "run: {pull: always}", "limits: {image-size: 1m}", "pods: {grace: 1s}", "registries: {}"}) {
    EXPECT_FALSE(load("", fmt::format("runtime: microvm\n{}\n", key))) << key;
  }
}

TEST_F(ConfigTest, AProjectsFileIsLookedForUpToItsRepository) {
  const std::string deep = base_ + "/home/repo/deep/er";
  write("home/project.yml", "runtime: wasm");
  EXPECT_EQ(config::find_project_file(deep), base_ + "/home/project.yml");
  write("home/repo/.git", "gitdir: elsewhere");
  EXPECT_EQ(config::find_project_file(deep), "");
  write("home/repo/project.yml", "runtime: wasm");
  EXPECT_EQ(config::find_project_file(deep), base_ + "/home/repo/project.yml");
  // Neither a repository nor the home directory is above.
  setenv("HOME", "/nonexistent", 1);
  std::filesystem::remove(base_ + "/home/repo/.git");
  EXPECT_EQ(config::find_project_file(deep), "");
  EXPECT_EQ(config::find_project_file(base_ + "/home/repo"), base_ + "/home/repo/project.yml");
}

TEST_F(ConfigTest, AnotherToolsProjectFileIsNone) {
  EXPECT_TRUE(load("", "name: App\ntargets: {App: {type: application}}\n"));
  EXPECT_TRUE(load("", ":project:\n  :use_exceptions: FALSE\n"));
  // But a slip of the pen does not change isolation silently.
  EXPECT_FALSE(load("", "runtme: microvm\n"));
  std::filesystem::remove(base_ + "/home/repo/project.yml");
  std::filesystem::create_symlink("/etc/passwd", base_ + "/home/repo/project.yml");
  EXPECT_FALSE(load(""));
}

TEST_F(ConfigTest, DefaultsOfARunAreThoseConfigured) {
  const auto loaded = load("run: {memory: 64m, cpus: 1.5, pids: 9, stop-timeout: 3s, timeout: 1m}");
  ASSERT_TRUE(loaded);
  const RunOptions run = default_run_options(loaded->settings());
  EXPECT_EQ(run.memory, 64LL << 20U);
  EXPECT_EQ(run.cpu_quota, 150000);
  EXPECT_EQ(run.pids, 9);
  EXPECT_EQ(run.stop_timeout, std::chrono::seconds(3));
  EXPECT_EQ(run.timeout, std::chrono::minutes(1));
  EXPECT_EQ(default_run_options(Settings{}).memory, std::nullopt);
}

TEST_F(ConfigTest, RegistriesAreReadValueByValue) {
  const auto loaded = load(
      "registries:\n"
      "  docker.io:\n"
      "    mirrors: [\"https://mirror.example\", \"http://127.0.0.1:5000/\"]\n"
      "  \"[::1]:5000\": {plain-http: true}\n"
      "  quay.io: {ca-file: ~/ca.pem}\n"
      "  ghcr.io:\n");
  ASSERT_TRUE(loaded) << all_of(loaded.error());
  const auto& registries = default_engine_options(loaded->settings()).registries;
  ASSERT_EQ(registries.size(), 4U);
  EXPECT_EQ(registries[0].host, "docker.io");
  EXPECT_THAT(registries[0].mirrors,
              ElementsAre("https://mirror.example", "http://127.0.0.1:5000/"));
  EXPECT_TRUE(registries[1].plain_http);
  EXPECT_EQ(registries[2].ca_file, base_ + "/home/ca.pem");
  std::map<std::string, std::string> shown;
  for (const SettingInfo& info : loaded->describe()) shown[info.key] = origin_text(info.origin);
  EXPECT_EQ(shown["registries.docker.io.mirrors"], base_ + "/config.yml:3");
  EXPECT_EQ(shown["registries.quay.io.ca-file"], base_ + "/config.yml:5");
  EXPECT_FALSE(shown.contains("registries"));
}

TEST_F(ConfigTest, AProjectLowersWhatAMicrovmMayHave) {
  EXPECT_TRUE(load("microvm: {max-memory: 2g}", "microvm: {max-memory: 1g, max-cpus: 2}"));
  EXPECT_FALSE(load("microvm: {max-memory: 2g}", "microvm: {max-memory: 3g}"));
  EXPECT_FALSE(load("", "microvm: {max-cpus: 16}"));
  EXPECT_FALSE(load("", "microvm: {vmm: libkrun}"));
}

TEST_F(ConfigTest, WhatTheEngineAndPodsGet) {
  const auto loaded = load(
      "runtime: krun\n"
      "limits: {image-size: 1g, image-layers: 7, image-layer-size: 2m, image-layer-files: 9}\n"
      "microvm: {max-cpus: 12, max-memory: 8g}\n"
      "pods: {start-timeout: 5s, grace: 1500ms, exec-timeout: none}\n");
  ASSERT_TRUE(loaded) << all_of(loaded.error());
  const ImageLimits limits{
      .size = 1LL << 30U, .layers = 7, .layer_size = 2LL << 20U, .layer_files = 9};
  EXPECT_EQ(default_engine_options(loaded->settings()).images, limits);
  EXPECT_EQ(default_engine_options(Settings{}).images, ImageLimits{});
  const PodOptions pod = default_pod_options(loaded->settings());
  EXPECT_EQ(pod.default_isolation, "microvm");
  EXPECT_EQ(pod.start_timeout, std::chrono::seconds(5));
  EXPECT_EQ(pod.grace, std::chrono::seconds(2));
  EXPECT_EQ(pod.microvm_max_cpus, 12);
  EXPECT_EQ(pod.microvm_max_memory, 8LL << 30U);
  EXPECT_EQ(loaded->settings().pod_exec_timeout.count(), 0);
}

TEST_F(ConfigTest, ASchemaHasEveryKeyThatItsFileMayHave) {
  const Json whole = Json::parse(config_schema(ConfigFileKind::kConfig));
  const Json project = Json::parse(config_schema(ConfigFileKind::kProject));
  for (const config::Key& key : config::keys()) {
    std::string pointer = "/properties/" + std::string(key.path);
    if (const size_t dot = pointer.find('.'); dot != std::string::npos) {
      pointer.replace(dot, 1, "/properties/");
    }
    EXPECT_TRUE(whole.contains(Json::json_pointer(pointer))) << key.path;
    EXPECT_EQ(project.contains(Json::json_pointer(pointer)),
              key.project == config::ProjectMay::kRestrict)
        << key.path;
  }
}

TEST(RuntimeName, AliasesStandForWhatTheyAreCalledHere) {
  EXPECT_EQ(*parse_runtime_name("crun", "x"), "native");
  EXPECT_EQ(*parse_runtime_name("krun", "x"), "microvm");
  for (const char* name : {"", "Native", "runc", "native ", "auto"}) {
    EXPECT_FALSE(parse_runtime_name(name, "x")) << name;
  }
}

}  // namespace
}  // namespace trivet
