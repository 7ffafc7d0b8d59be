#include "oci/image_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "oci/bad_input.h"

namespace trivet::oci {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const std::string kDigest = "sha256:" + std::string(64, 'a');

json descriptor(std::string_view media_type) {
  return {{"mediaType", media_type}, {"digest", kDigest}, {"size", 10}};
}

json good_manifest() {
  return {{"schemaVersion", 2},
          {"mediaType", kMediaManifest},
          {"config", descriptor(kMediaConfig)},
          {"layers", {descriptor(kMediaLayerGzip), descriptor(kMediaLayerZstd)}},
          {"annotations", {{"k", "v"}}}};
}

json good_index() {
  json amd64 = descriptor(kMediaManifest);
  amd64["platform"] = {{"architecture", "amd64"}, {"os", "linux"}};
  json arm64 = descriptor(kMediaManifest);
  arm64["platform"] = {{"architecture", "arm64"}, {"os", "linux"}, {"variant", "v8"}};
  return {{"schemaVersion", 2}, {"mediaType", kMediaIndex}, {"manifests", {amd64, arm64}}};
}

json good_config() {
  return {{"created", "2026-01-02T03:04:05Z"},
          {"author", "A"},
          {"architecture", "amd64"},
          {"os", "linux"},
          {"config",
           {{"User", "1000:1000"},
            {"ExposedPorts", {{"80/tcp", json::object()}, {"53/udp", json::object()}}},
            {"Env", {"PATH=/bin", "EMPTY="}},
            {"Entrypoint", {"/entry"}},
            {"Cmd", {"-a", "b"}},
            {"Volumes", {{"/data", json::object()}}},
            {"WorkingDir", "/work"},
            {"Labels", {{"l", "m"}}},
            {"StopSignal", "SIGQUIT"}}},
          {"rootfs", {{"type", "layers"}, {"diff_ids", {kDigest}}}},
          {"history",
           {{{"created", "2026-01-02T03:04:05Z"}, {"created_by", "ADD"}, {"comment", "c"}},
            {{"created_by", "CMD"}, {"empty_layer", true}}}}};
}

TEST(ImageSpec, DigestsAreExactlyTheOnesOfSha256) {
  EXPECT_TRUE(check_digest(kDigest).has_value());
  for (const std::string& wrong :
       {std::string(), "sha256:" + std::string(63, 'a'), "sha256:" + std::string(65, 'a'),
        "sha256:" + std::string(64, 'A'), "sha256:" + std::string(64, 'g'),
        "sha512:" + std::string(128, 'a'), "SHA256:" + std::string(64, 'a'),
        "sha256:../" + std::string(61, 'a'), kDigest + "\n"}) {
    EXPECT_FALSE(check_digest(wrong).has_value()) << wrong;
  }
}

TEST(ImageSpec, NothingIsLostOnAWayBackAndForth) {
  EXPECT_EQ(json::parse(print_manifest(*parse_manifest(good_manifest().dump()))), good_manifest());
  EXPECT_EQ(json::parse(print_index(*parse_index(good_index().dump()))), good_index());
  EXPECT_EQ(json::parse(print_image_config(*parse_image_config(good_config().dump()))),
            good_config());
}

TEST(ImageSpec, ReadsAConfig) {
  const auto config = parse_image_config(good_config().dump());
  ASSERT_TRUE(config.has_value()) << config.error().message();
  EXPECT_EQ(config->user, "1000:1000");
  EXPECT_THAT(config->exposed_ports, ElementsAre("53/udp", "80/tcp"));
  EXPECT_THAT(config->entrypoint, ElementsAre("/entry"));
  EXPECT_THAT(config->cmd, ElementsAre("-a", "b"));
  EXPECT_THAT(config->volumes, ElementsAre("/data"));
  EXPECT_THAT(config->labels, ElementsAre(Pair("l", "m")));
  EXPECT_EQ(config->stop_signal, "SIGQUIT");
  EXPECT_TRUE(config->history.at(1).empty_layer);
}

TEST(ImageSpec, ReadsTheNullsOfDocker) {
  const auto config = parse_image_config(
      R"({"architecture":"amd64","os":"linux","config":{"Cmd":["sh"],"Entrypoint":null,
          "Volumes":{"/v":null},"Labels":null,"OnBuild":null,"User":""},
          "container_config":{"Hostname":"x"},"docker_version":"20",
          "rootfs":{"type":"layers","diff_ids":null},"history":null})");
  ASSERT_TRUE(config.has_value()) << config.error().message();
  EXPECT_THAT(config->volumes, ElementsAre("/v"));
  EXPECT_TRUE(config->diff_ids.empty());
}

TEST(ImageSpec, ReadsTheFormsOfDocker) {
  json manifest = good_manifest();
  manifest["mediaType"] = kMediaDockerManifest;
  manifest["layers"][0]["mediaType"] = kMediaDockerLayer;
  EXPECT_EQ(parse_manifest(manifest.dump())->media_type, kMediaDockerManifest);
  json list = good_index();
  list["mediaType"] = kMediaDockerList;
  EXPECT_EQ(parse_index(list.dump())->manifests.size(), 2U);
}

TEST(ImageSpec, KeepsToItsLimits) {
  json manifest = good_manifest();
  manifest["layers"] = std::vector<json>(128, descriptor(kMediaLayer));
  EXPECT_TRUE(parse_manifest(manifest.dump()).has_value());
  manifest["layers"].push_back(descriptor(kMediaLayer));
  const auto many = parse_manifest(manifest.dump());
  ASSERT_FALSE(many.has_value());
  EXPECT_EQ(many.error().code(), ErrorCode::kLimitExceeded);
  EXPECT_THAT(many.error().message(), HasSubstr("layers: 129 layers"));

  json config = good_config();
  config["rootfs"]["diff_ids"] = std::vector<json>(129, kDigest);
  EXPECT_EQ(parse_image_config(config.dump()).error().code(), ErrorCode::kLimitExceeded);

  std::string text = good_manifest().dump();
  text.resize(kMaxImageDocumentBytes, ' ');
  EXPECT_TRUE(parse_manifest(text).has_value());
  EXPECT_EQ(parse_manifest(text + ' ').error().code(), ErrorCode::kLimitExceeded);
}

enum class Kind { kManifest, kIndex, kConfig };

struct BadImage {
  Kind kind;
  BadInput input;
};

class BadImageSpec : public testing::TestWithParam<BadImage> {};

std::string parse_error(Kind kind, const std::string& text) {
  const auto message = [](const auto& result) {
    return result ? std::string() : result.error().message();
  };
  if (kind == Kind::kManifest) return message(parse_manifest(text));
  if (kind == Kind::kIndex) return message(parse_index(text));
  return message(parse_image_config(text));
}

TEST_P(BadImageSpec, IsRefusedWithThePathOfTheField) {
  const auto& [kind, input] = GetParam();
  json document = kind == Kind::kManifest ? good_manifest()
                  : kind == Kind::kIndex  ? good_index()
                                          : good_config();
  const json::json_pointer pointer{std::string(input.pointer)};
  if (input.value.empty()) {
    document.at(pointer.parent_pointer()).erase(pointer.back());
  } else {
    document[pointer] = json::parse(input.value);
  }
  EXPECT_THAT(parse_error(kind, document.dump()), HasSubstr(input.error));
}

constexpr BadImage kBad[] = {
    {Kind::kManifest, {"no_schema", "/schemaVersion", "", "schemaVersion: missing"}},
    {Kind::kManifest, {"schema_1", "/schemaVersion", "1", "schemaVersion: 1 is not supported"}},
    {Kind::kManifest,
     {"index_as_manifest", "/mediaType", R"("application/vnd.oci.image.index.v1+json")",
      "mediaType: expected"}},
    {Kind::kManifest, {"no_config", "/config", "", "config: missing"}},
    {Kind::kManifest, {"no_layers", "/layers", "", "layers: missing"}},
    {Kind::kManifest, {"layers_type", "/layers", R"("x")", "layers: expected an array"}},
    {Kind::kManifest,
     {"layer_null", "/layers/1", "null", "layers[1]: expected an object, not null"}},
    {Kind::kManifest, {"no_media", "/layers/0/mediaType", "", "layers[0].mediaType: missing"}},
    {Kind::kManifest, {"no_digest", "/layers/0/digest", "", "layers[0].digest: missing"}},
    {Kind::kManifest,
     {"digest_path", "/layers/0/digest", R"("sha256:../../etc/passwd")",
      "layers[0].digest: \"sha256:../../etc/passwd\" is no digest"}},
    {Kind::kManifest, {"digest_type", "/config/digest", "5", "config.digest: expected a string"}},
    {Kind::kManifest, {"no_size", "/layers/0/size", "", "layers[0].size: missing"}},
    {Kind::kManifest, {"size_negative", "/layers/0/size", "-1", "layers[0].size: -1 is out of"}},
    {Kind::kManifest, {"size_huge", "/layers/0/size", "1e99", "layers[0].size: 1e+99 is out of"}},
    {Kind::kManifest, {"size_above", "/layers/0/size", "9223372036854775808", "layers[0].size: 9"}},
    {Kind::kManifest,
     {"annotation", "/annotations", R"({"k":[]})", "annotations[\"k\"]: expected"}},
    {Kind::kManifest, {"media_nul", "/layers/0/mediaType", R"("a\u0000")", "contains a NUL byte"}},
    {Kind::kIndex, {"no_manifests", "/manifests", "", "manifests: missing"}},
    {Kind::kIndex,
     {"platform", "/manifests/1/platform/os", "", "manifests[1].platform.os: missing"}},
    {Kind::kIndex,
     {"platform_type", "/manifests/1/platform", "3", "manifests[1].platform: expected"}},
    {Kind::kIndex,
     {"manifest_as_index", "/mediaType", R"("application/vnd.oci.image.manifest.v1+json")",
      "mediaType: expected"}},
    {Kind::kConfig, {"no_os", "/os", "", "os: missing"}},
    {Kind::kConfig, {"no_architecture", "/architecture", "null", "architecture: missing"}},
    {Kind::kConfig, {"no_rootfs", "/rootfs", "", "rootfs: missing"}},
    {Kind::kConfig,
     {"rootfs_type", "/rootfs/type", R"("tar")", "rootfs.type: expected \"layers\""}},
    {Kind::kConfig, {"diff_id", "/rootfs/diff_ids/0", R"("x")", "rootfs.diff_ids[0]: \"x\" is no"}},
    {Kind::kConfig, {"config_type", "/config", "[]", "config: expected an object"}},
    {Kind::kConfig, {"env_type", "/config/Env", R"({"A":"b"})", "config.Env: expected an array"}},
    {Kind::kConfig,
     {"env_form", "/config/Env/1", R"("A")", "config.Env: \"A\" is not of the form"}},
    {Kind::kConfig, {"cmd", "/config/Cmd/1", "1", "config.Cmd[1]: expected a string"}},
    {Kind::kConfig, {"ports", "/config/ExposedPorts", "[80]", "config.ExposedPorts: expected an"}},
    {Kind::kConfig, {"volume", "/config/Volumes", R"({"":{}})", "config.Volumes: has a member"}},
    {Kind::kConfig, {"label", "/config/Labels/l", "1", "config.Labels[\"l\"]: expected a string"}},
    {Kind::kConfig, {"history", "/history/1/empty_layer", "1", "history[1].empty_layer: expected"}},
};

INSTANTIATE_TEST_SUITE_P(All, BadImageSpec, testing::ValuesIn(kBad),
                         [](const auto& test) { return std::string(test.param.input.name); });

TEST(ImageSpec, KeysInErrorsAreMadeHarmless) {
  json manifest = good_manifest();
  manifest["annotations"] = {{"\x1b[31m" + std::string(1000, 'x'), 1}};
  const std::string message = parse_manifest(manifest.dump()).error().message();
  EXPECT_LT(message.size(), 150U);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace trivet::oci
