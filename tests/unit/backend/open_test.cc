#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "trivet/runtime.h"

namespace trivet {

namespace {

using testing::HasSubstr;

class Open : public testing::Test {
 protected:
  Open() : folder_(testing::TempDir() + "open-" + std::to_string(getpid())) {}
  ~Open() override { std::filesystem::remove_all(folder_); }

  RuntimeOptions named(const std::string& name) {
    return {.runtime = name,
            .engine = {.data_dir = folder_ + "/data", .state_dir = folder_ + "/state"}};
  }

  std::string folder_;
};

TEST_F(Open, NamesAndTheirAliases) {
  for (const auto& [given, name] : {std::pair{"native", "native"},
                                    {"crun", "native"},
                                    {"microvm", "microvm"},
                                    {"krun", "microvm"},
                                    {"wasm", "wasm"},
                                    {"null", "null"}}) {
    const auto runtime = Runtime::open(named(given));
    ASSERT_TRUE(runtime) << given << ": " << runtime.error().message();
    EXPECT_EQ(runtime->name(), name);
  }
}

TEST_F(Open, AnUnknownNameListsTheKnownOnes) {
  for (const char* name : {"runc", "Native", "native ", "dockr"}) {
    const auto runtime = Runtime::open(named(name));
    ASSERT_FALSE(runtime) << name;
    EXPECT_EQ(runtime.error().code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(runtime.error().message(), HasSubstr(name));
    for (const char* known : {"native (or crun)", "microvm (or krun)", "wasm", "podman", "null"}) {
      EXPECT_THAT(runtime.error().hint_text(), HasSubstr(known));
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder_)) << "it fails before it makes anything";
}

TEST_F(Open, ALoginGoesToTheSameDirectories) {
  const auto runtime = Runtime::open(named("native"));
  ASSERT_TRUE(runtime);
  const auto command = runtime->container("box").login_command({"sh"});
  ASSERT_TRUE(command);
  const std::vector<std::string> words(command->begin() + 1, command->end());
  EXPECT_EQ(words, (std::vector<std::string>{"--data-dir", folder_ + "/data", "--state-dir",
                                             folder_ + "/state", "exec", "-it", "box", "sh"}));
}

// A file in place of the host's and the user's, and no variable that is stronger.
class OpenConfigured : public Open {
 protected:
  OpenConfigured() {
    for (const char* name : kStronger) unsetenv(name);
    setenv("TRIVET_CONFIG", (folder_ + "/config.yml").c_str(), 1);
    std::filesystem::create_directories(folder_);
  }
  ~OpenConfigured() override {
    for (const char* name : kStronger) unsetenv(name);
    unsetenv("TRIVET_CONFIG");
  }

  void configure(const std::string& text) { std::ofstream(folder_ + "/config.yml") << text; }

  static constexpr std::array kStronger{"TRIVET_RUNTIME", "TRIVET_EXPERIMENTAL", "TRIVET_DATA_DIR",
                                        "TRIVET_STATE_DIR"};
};

TEST_F(OpenConfigured, WithoutANameTheConfigurationChooses) {
  configure("runtime: null\n");
  const auto opened = Runtime::open();
  ASSERT_TRUE(opened) << opened.error().message();
  EXPECT_EQ(opened->name(), "null");
  EXPECT_EQ(Runtime::open(named("native"))->name(), "native") << "a name opts out";
  setenv("TRIVET_RUNTIME", "native", 1);
  EXPECT_EQ(Runtime::open(named(""))->name(), "trivet");
}

TEST_F(OpenConfigured, WhatIsWrongIsSaidWithItsPlace) {
  configure("experimental: false\nruntime: micro\n");
  const auto refused = Runtime::open(named(""));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(refused.error().message(), HasSubstr("config.yml:2:1: runtime: unknown runtime"));
  EXPECT_TRUE(Runtime::open(named("native"))) << "who names a runtime reads no file";
}

TEST_F(OpenConfigured, DirectoriesAreThoseOfTheFileUnlessTheCallerHasOthers) {
  configure("directories: {data: " + folder_ + "/own, state: " + folder_ + "/run}\n");
  ASSERT_TRUE(Runtime::open());
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/own"));
  std::filesystem::remove_all(folder_ + "/own");
  ASSERT_TRUE(Runtime::open(named("")));
  EXPECT_TRUE(std::filesystem::exists(folder_ + "/data"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/own"));
}

}  // namespace

}  // namespace trivet
