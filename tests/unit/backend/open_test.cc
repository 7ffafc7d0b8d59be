#include <filesystem>

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

}  // namespace

}  // namespace trivet
