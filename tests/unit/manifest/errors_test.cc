// What a person is told about a manifest that is wrong: data/errors/NAME.yaml gives NAME.txt. After
// a wanted change TRIVET_UPDATE_GOLDEN=1 in the environment writes them anew.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "manifest/manifest.h"

namespace trivet::manifest {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string describe(const Result<Manifest>& result) {
  if (result) return "fine\n";
  const Error& error = result.error();
  std::string text = fmt::format("{}\n{}\n", error_code_name(error.code()), error.message());
  if (!error.hint_text().empty()) text += "hint: " + error.hint_text() + '\n';
  for (const std::string& note : error.notes()) text += "note: " + note + '\n';
  return text;
}

class ErrorsTest : public testing::TestWithParam<std::string> {};

TEST_P(ErrorsTest, SaysWhatIsWrong) {
  const std::string base = std::string(TEST_DATA_DIR "/errors/") + GetParam();
  const auto result = parse_manifest(read(base + ".yaml"), {.file = "pod.yaml"});
  const std::string text = describe(result);
  if (std::getenv("TRIVET_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(base + ".txt") << text;
    return;
  }
  EXPECT_EQ(text, read(base + ".txt"));
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(TEST_DATA_DIR "/errors")) {
    if (entry.path().extension() == ".yaml") all.push_back(entry.path().stem());
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(All, ErrorsTest, testing::ValuesIn(names()), [](const auto& name) {
  std::string word = name.param;
  std::erase(word, '-');
  return word;
});

}  // namespace
}  // namespace trivet::manifest
