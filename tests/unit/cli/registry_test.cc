// Every declared command keeps the promises its help makes.
#include "cli/registry.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/completion.h"
#include "cli/help.h"
#include "cli/manual.h"
#include "cli/parse.h"
#include "cli/session.h"

namespace trivet::cli {
namespace {

using testing::HasSubstr;

TEST(Registry, EveryCommandIsCompleteAndItsOptionsAreDistinct) {
  for (const Entry& entry : entries()) {
    const Command command = make_command(entry);
    EXPECT_TRUE(command.action) << entry.path;
    if (std::string_view(entry.group).empty()) continue;
    EXPECT_FALSE(command.examples.empty()) << entry.path;
    EXPECT_FALSE(command.summary.ends_with('.')) << entry.path;
    std::set<std::string> seen{"--help", "--data-dir", "--root", "--state-dir", "--error-format"};
    for (const OptionSpec& option : command.options) {
      EXPECT_FALSE(option.help.ends_with('.')) << entry.path << ' ' << option.names;
      for (const std::string& name : option.all_names()) {
        EXPECT_TRUE(seen.insert(name).second) << entry.path << ' ' << name;
      }
    }
  }
}

TEST(Registry, EveryCommandAnswersHelp) {
  Globals globals;
  const std::vector<OptionSpec> shared = global_options(globals);
  for (const Entry& entry : entries()) {
    const Command command = make_command(entry);
    const auto parsed = parse_words(command, shared, {"--help"});
    ASSERT_TRUE(parsed) << entry.path;
    EXPECT_TRUE(parsed->help) << entry.path;
    EXPECT_THAT(command_help(command), HasSubstr(std::string("trivet ") + entry.path));
  }
}

TEST(Registry, UnknownCommandsGetAdvice) {
  EXPECT_EQ(find_entry("rnu"), nullptr);
  EXPECT_THAT(advice_for_unknown("", "rnu"), HasSubstr("trivet run"));
  EXPECT_THAT(advice_for_unknown("image", "lst"), HasSubstr("trivet image ls"));
  EXPECT_THAT(advice_for_unknown("", "load"), HasSubstr("trivet image import"));
  EXPECT_EQ(advice_for_unknown("", "qqqqqqqqqq"), "");
}

TEST(Manual, HasAPageForEveryCommand) {
  size_t visible = 0;
  for (const Entry& entry : entries()) visible += std::string_view(entry.group).empty() ? 0 : 1;
  const auto pages = man_pages();
  EXPECT_EQ(pages.size(), visible + 1);
  for (const auto& [name, page] : pages) EXPECT_THAT(page, HasSubstr(".SH NAME")) << name;
  EXPECT_THAT(markdown_reference(), HasSubstr("### trivet run"));
}

TEST(Completion, KnowsThreeShells) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = completion_script(shell);
    ASSERT_TRUE(script);
    EXPECT_THAT(*script, HasSubstr("memory")) << shell;
    EXPECT_THAT(*script, HasSubstr("__complete")) << shell;
  }
  EXPECT_FALSE(completion_script("tcsh"));
}

}  // namespace
}  // namespace trivet::cli
