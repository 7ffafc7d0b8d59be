// CDI specifications as files in data/: errors/NAME.yaml gives NAME.txt, apply/whole.yaml gives
// whole.json. After a wanted change TRIVET_UPDATE_GOLDEN=1 in the environment writes them anew.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "cdi/apply.h"
#include "cdi/names.h"
#include "cdi/select.h"

namespace trivet::cdi {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_golden(const std::string& path, const std::string& text) {
  if (std::getenv("TRIVET_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << text;
    return;
  }
  EXPECT_EQ(text, read(path));
}

std::string describe(const Result<Spec>& result) {
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
  expect_golden(base + ".txt", describe(parse_spec(read(base + ".yaml"), "a.yaml")));
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

// A small file: `edits` is the inside of containerEdits of the device "a".
std::string file_with(const std::string& edits, const std::string& version = "1.1.0",
                      const std::string& device = "a") {
  return fmt::format(R"({{"cdiVersion": "{}", "kind": "vendor.com/class",
      "devices": [{{"name": "{}", "containerEdits": {{{}}}}}]}})",
                     version, device, edits);
}

Spec parsed(const std::string& text, const std::string& file = "a.json") {
  auto spec = parse_spec(text, file);
  if (spec) return std::move(*spec);
  ADD_FAILURE() << spec.error().message();
  return {};
}

constexpr const char* kEnv = R"("env": ["A=1"])";

TEST(ParseTest, EachVersionIsKnownWithAndWithoutItsLetter) {
  for (const std::string& version : known_versions()) {
    EXPECT_EQ(parsed(file_with(kEnv, version)).version, version);
    EXPECT_EQ(parsed(file_with(kEnv, "v" + version)).version, version);
  }
}

TEST(ParseTest, EachFieldIsKnownFromItsVersionOn) {
  const std::vector<std::pair<std::string, std::string>> fields = {
      {"0.4.0", R"("mounts": [{"hostPath": "/a", "containerPath": "/a", "type": "bind"}])"},
      {"0.5.0", R"("deviceNodes": [{"path": "/a", "hostPath": "/b"}])"},
      {"0.7.0", R"("additionalGids": [1])"},
      {"0.7.0", R"("intelRdt": {"closID": "a"})"},
      {"1.1.0", R"("intelRdt": {"schemata": []})"},
      {"1.1.0", R"("netDevices": [{"hostInterfaceName": "a", "name": "b"}])"}};
  const auto& known = known_versions();
  for (const auto& [since, edits] : fields) {
    const auto first = std::ranges::find(known, since);
    EXPECT_TRUE(parse_spec(file_with(edits, since), "f")) << edits;
    const auto early = parse_spec(file_with(edits, *(first - 1)), "f");
    ASSERT_FALSE(early) << edits;
    EXPECT_THAT(early.error().message(), HasSubstr("came with cdiVersion " + since));
  }
}

TEST(ParseTest, AnEmptyListSaysNothingInWhateverVersion) {
  EXPECT_TRUE(parse_spec(
      file_with(R"("env": ["A=1"], "additionalGids": [], "netDevices": [])", "0.3.0"), "f"));
}

TEST(ParseTest, TheSwitchesThatOneDotOneHasMergedAreThoseOfOldFilesOnly) {
  const std::string edits = R"("intelRdt": {"enableMBM": true})";
  EXPECT_TRUE(parsed(file_with(edits, "0.7.0")).devices[0].edits.intel_rdt->enable_monitoring);
  EXPECT_FALSE(parse_spec(file_with(edits, "1.1.0"), "f"));
}

TEST(ParseTest, OctalInYamlIsDecimalInJson) {
  const std::string json = R"("deviceNodes": [{"path": "/dev/a", "fileMode": 438}])";
  const std::string yaml =
      "cdiVersion: 0.5.0\nkind: vendor.com/class\ndevices:\n- name: a\n  containerEdits:\n"
      "    deviceNodes: [{path: /dev/a, fileMode: 0666}]\n";
  EXPECT_EQ(parsed(file_with(json)).devices[0].edits.device_nodes[0].file_mode, 0666U);
  EXPECT_EQ(parsed(yaml).devices[0].edits.device_nodes[0].file_mode, 0666U);
}

TEST(ParseTest, AFileIsNotEndless) {
  const auto result = parse_spec(std::string(2U << 20U, ' '), "big.json");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::kLimitExceeded);
}

TEST(NamesTest, WhatIsAPathIsNoName) {
  EXPECT_TRUE(is_cdi_name("nvidia.com/gpu=all"));
  EXPECT_FALSE(is_cdi_name("/dev/nvidia0"));
  EXPECT_FALSE(is_cdi_name("/dev/by=id"));
  EXPECT_FALSE(is_cdi_name("nvidia.com/gpu"));
}

TEST(NamesTest, AQualifiedNameHasThreeParts) {
  EXPECT_EQ(parse_qualified_name("a.b/c=d:0")->device, "d:0");
  for (const char* bad : {"", "=", "a/b", "a/b=", "/b=c", "a/=c", "a/b/c=d", "1a/b=c", "a/b=-",
                          "a/b=c/d", "a/b=c=d", "a b/c=d"}) {
    const auto result = parse_qualified_name(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code(), ErrorCode::kInvalidArgument) << bad;
    EXPECT_THAT(result.error().hint_text(), HasSubstr("nvidia.com/gpu=all")) << bad;
  }
  EXPECT_FALSE(parse_qualified_name(std::string(300, 'a') + "/b=c"));
  EXPECT_FALSE(parse_qualified_name("a/" + std::string(64, 'b') + "=c"));
}

// ---------------------------------------------------------------- several files

TEST(RegistryTest, ALaterDirectoryTakesPrecedence) {
  const Registry registry = merge_specs(
      {parsed(file_with(kEnv), "/etc/cdi/a.json"), parsed(file_with(kEnv), "/var/run/cdi/a.json")},
      {0, 1});
  const auto found = find_device(registry, "vendor.com/class=a");
  ASSERT_TRUE(found);
  EXPECT_EQ(registry.specs[found->spec].file, "/var/run/cdi/a.json");
}

TEST(RegistryTest, TwoFilesOfADirectoryThatDefineADeviceBothLoseIt) {
  const Registry registry = merge_specs(
      {parsed(file_with(kEnv), "/c/a.json"), parsed(file_with(kEnv), "/c/b.json")}, {0, 0});
  const auto found = find_device(registry, "vendor.com/class=a");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message(),
            "the CDI device vendor.com/class=a is defined by /c/a.json and by /c/b.json");
  EXPECT_FALSE(found.error().hint_text().empty());
}

TEST(RegistryTest, AConflictIsSettledByADirectoryOfMorePrecedence) {
  const Registry registry =
      merge_specs({parsed(file_with(kEnv), "/1/a"), parsed(file_with(kEnv), "/1/b"),
                   parsed(file_with(kEnv), "/2/c")},
                  {0, 0, 1});
  EXPECT_TRUE(find_device(registry, "vendor.com/class=a"));
  EXPECT_THAT(registry.conflicts, IsEmpty());
}

class DirectoryTest : public testing::Test {
 protected:
  DirectoryTest() {
    std::string name = testing::TempDir() + "cdi-XXXXXX";
    path = mkdtemp(name.data());
  }
  ~DirectoryTest() override { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path + "/" + name) << text;
  }
  std::string path;
};

TEST_F(DirectoryTest, OneBrokenFileLeavesTheOthersUsable) {
  write("good.json", file_with(kEnv));
  write("broken.yaml", "cdiVersion: [");
  write("ignored.txt", "not ours");
  const Registry registry = load_registry({path, path + "/missing"});
  EXPECT_TRUE(find_device(registry, "vendor.com/class=a"));
  ASSERT_THAT(registry.broken, SizeIs(1));
  EXPECT_EQ(registry.broken[0].path, path + "/broken.yaml");
  // Whoever misses a device is told of it.
  const auto missing = find_device(registry, "vendor.com/class=b");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().notes(), ElementsAre(HasSubstr("broken.yaml")));
}

TEST_F(DirectoryTest, WhatIsNoFileOrAnyonesIsNotRead) {
  ASSERT_EQ(mkfifo((path + "/fifo.json").c_str(), 0600), 0);
  std::filesystem::create_directory(path + "/directory.json");
  write("open.json", file_with(kEnv));
  ASSERT_EQ(chmod((path + "/open.json").c_str(), 0666), 0);
  const Registry registry = load_registry({path});
  ASSERT_THAT(registry.broken, SizeIs(3));
  EXPECT_THAT(registry.broken[0].error.message(), HasSubstr("it is no file"));
  EXPECT_THAT(registry.broken[1].error.message(), HasSubstr("it is no file"));
  EXPECT_THAT(registry.broken[2].error.message(), HasSubstr("everybody may write it"));
  EXPECT_THAT(registry.devices, IsEmpty());
}

TEST_F(DirectoryTest, AFileInTheDirectorysPlaceIsSaid) {
  write("file", "");
  EXPECT_THAT(load_registry({path + "/file"}).broken, SizeIs(1));
}

// ---------------------------------------------------------------- names that are not there

TEST(SelectTest, AMistypedNameIsRecognized) {
  const Registry registry = merge_specs({parsed(file_with(kEnv, "1.1.0", "first"))}, {0});
  const auto found = find_device(registry, "vendor.com/class=frist");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().hint_text(), "did you mean vendor.com/class=first?");
  EXPECT_EQ(find_device(registry, "vendor.com/class=other").error().hint_text(),
            "vendor.com/class has first");
}

TEST(SelectTest, WhoHasNoFileIsToldHowToMakeOne) {
  Registry registry;
  registry.directories = {"/etc/cdi", "/var/run/cdi"};
  const auto found = find_device(registry, "nvidia.com/gpu=all");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message(),
            "no CDI file in /etc/cdi or /var/run/cdi defines nvidia.com/gpu");
  EXPECT_THAT(found.error().hint_text(), HasSubstr("nvidia-ctk cdi generate"));
  EXPECT_EQ(found.error().code(), ErrorCode::kUnsupported);
}

// ---------------------------------------------------------------- edits

class ApplyTest : public testing::Test {
 protected:
  ApplyTest() {
    spec.process.emplace().env = {"PATH=/bin", "REPLACED=old"};
    spec.process->user = {.uid = 1000, .gid = 1000};
    spec.linux_config.emplace().resources.emplace().devices = {oci::DeviceRule{}};
    spec.linux_config->devices = {{.path = "/dev/known", .type = 'c', .major = 1, .minor = 1}};
    spec.mounts = {{.destination = "/proc", .type = "proc", .source = "proc"},
                   {.destination = "/lib/plain", .type = "bind", .source = "/other"}};
    host.device_at = [](const std::string& path) -> Result<oci::Device> {
      if (path != "/dev/host") return fail(ErrorCode::kNotFound, "stat \"{}\"", path);
      return oci::Device{.path = path, .type = 'c', .major = 3, .minor = 4, .file_mode = 0640U};
    };
    host.exists = [this](const std::string& path) { return path != missing; };
  }

  Result<> apply(const std::string& text,
                 const std::vector<std::string>& names = {"vendor.com/class=a"}) {
    return apply_devices(merge_specs({parsed(text, "/etc/cdi/a.json")}, {0}), names, host, spec);
  }

  oci::Spec spec;
  HostView host;
  std::string missing;
};

TEST_F(ApplyTest, EverythingThereIs) {
  const std::string base = TEST_DATA_DIR "/apply/whole";
  ASSERT_TRUE(apply(read(base + ".yaml"), {"vendor.com/class=a", "vendor.com/class=a"}));
  expect_golden(base + ".json", Json::parse(oci::print_spec(spec)).dump(2) + "\n");
}

TEST_F(ApplyTest, TheLastDeviceWinsAndTheFilesOwnEditsAreMadeOnce) {
  const std::string text = read(TEST_DATA_DIR "/apply/whole.yaml");
  ASSERT_TRUE(apply(text, {"vendor.com/class=a", "vendor.com/class=b"}));
  EXPECT_THAT(spec.process->env,
              ElementsAre("PATH=/bin", "REPLACED=new", "OF_SPEC=1", "OF_DEVICE=b"));
  EXPECT_THAT(spec.hooks.create_container, SizeIs(1));
  EXPECT_EQ(std::ranges::count(spec.linux_config->devices, "/dev/known", &oci::Device::path), 1);
}

TEST_F(ApplyTest, ADeviceThatTheHostDoesNotHave) {
  const auto applied = apply(file_with(R"("deviceNodes": [{"path": "/dev/gone"}])"));
  ASSERT_FALSE(applied);
  EXPECT_EQ(
      applied.error().message(),
      "CDI file \"/etc/cdi/a.json\", device vendor.com/class=a: device node: stat \"/dev/gone\"");
  EXPECT_THAT(applied.error().hint_text(), HasSubstr("driver"));
}

TEST_F(ApplyTest, ADeviceOfAnotherTypeThanTheFileSays) {
  const auto applied = apply(
      file_with(R"("deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/host", "type": "b"}])"));
  ASSERT_FALSE(applied);
  EXPECT_THAT(applied.error().message(), HasSubstr("it is of type c, not b"));
}

TEST_F(ApplyTest, WhatANodeSaysWhollyNeedsNoHost) {
  EXPECT_TRUE(apply(file_with(R"("deviceNodes": [{"path": "/dev/x", "type": "u", "major": 9}])")));
  EXPECT_EQ(spec.linux_config->resources->devices.back().type, 'c');
}

TEST_F(ApplyTest, WhereAllDevicesAreAllowedNoRuleTakesThatBack) {
  spec.linux_config->resources->devices = {{.allow = true}};
  EXPECT_TRUE(apply(file_with(R"("deviceNodes": [{"path": "/dev/host"}])")));
  EXPECT_THAT(spec.linux_config->resources->devices, SizeIs(1));
}

TEST_F(ApplyTest, AMountOrHookThatTheHostDoesNotHave) {
  missing = "/gone";
  const auto mount =
      apply(file_with(R"("mounts": [{"hostPath": "/gone", "containerPath": "/x"}])"));
  ASSERT_FALSE(mount);
  EXPECT_THAT(mount.error().message(), HasSubstr("mount source \"/gone\" does not exist"));
  const std::string hook = R"("hooks": [{{"hookName": "{}", "path": "/gone"}}])";
  EXPECT_FALSE(apply(file_with(fmt::format(fmt::runtime(hook), "poststop"))));
  EXPECT_TRUE(apply(file_with(fmt::format(fmt::runtime(hook), "startContainer"))));
}

}  // namespace
}  // namespace trivet::cdi
