#include "image/wasm_layer.h"

#include <fstream>

#include "base/file_identity.h"
#include "image/bundle.h"
#include "image/registry_platform.h"
#include "image/store_fixture.h"
#include "oci/wasm_module.h"

namespace trivet::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ok;

const std::string kModule("\0asm\1\0\0\0", 8);
constexpr const char* kWasmLayer = "application/wasm";

class WasmLayerTest : public testing::StoreTest {
 protected:
  Result<std::string> add_layer(const std::string& content) {
    oci::Descriptor layer{.media_type = kWasmLayer};
    layer.digest = TRY(store().put_blob(content));
    layer.size = content.size();
    TRY(store().unpack_layer(layer, layer.digest));
    return layer.digest;
  }
  [[nodiscard]] std::string code_directory(const std::string& diff_id) const {
    return path("data/layers/" + hex_of(diff_id) + "/" + oci::kLayerCodeDirectory);
  }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }
};

TEST_F(WasmLayerTest, AModuleIsALayerOfOneFileWithAPlaceForItsCode) {
  const auto digest = add_layer(kModule);
  ASSERT_TRUE(ok(digest));
  EXPECT_EQ(*read_file(diff(*digest, kWasmModuleName)), kModule);
  struct stat status{};
  ASSERT_EQ(stat(code_directory(*digest).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0711U);
}

TEST_F(WasmLayerTest, WhatIsNoModuleIsRefusedAndLeavesNothing) {
  const auto digest = add_layer("#!/bin/sh\n");
  ASSERT_FALSE(digest);
  EXPECT_THAT(digest.error().message(), HasSubstr("no WebAssembly module"));
  EXPECT_FALSE(exists(path("data/layers/" + hex_of(digest_of("#!/bin/sh\n")))));
}

TEST_F(WasmLayerTest, AFileBecomesAnImageOnce) {
  const std::string file = write("My Tool.wasm", kModule);
  const auto image = import_module(store(), file);
  ASSERT_TRUE(ok(image));
  EXPECT_THAT(image->references.front().canonical(), HasSubstr("localhost/my-tool:"));
  EXPECT_THAT(image_defaults(*image).entrypoint, ElementsAre("/My Tool.wasm"));
  EXPECT_EQ(image_payload(*image), "wasm");
  EXPECT_TRUE(exists(code_directory(image->config.diff_ids.front())));
  const auto again = import_module(store(), file);
  ASSERT_TRUE(ok(again));
  EXPECT_EQ(again->manifest_digest, image->manifest_digest);
  EXPECT_EQ(store().list()->size(), 1U);
}

TEST_F(WasmLayerTest, AFileThatIsKnownIsNotReadAgain) {
  const auto image = import_module(store(), write("tool.wasm", kModule));
  ASSERT_TRUE(ok(image));
  const std::string other = write("tool2.wasm", kModule + std::string("\0\1a", 3));
  const auto remember = [&](const std::string& reference) {
    const UniqueFd file = open_file(other, O_RDONLY).value();
    struct stat status{};
    ASSERT_EQ(fstat(file.get(), &status), 0);
    ASSERT_TRUE(ok(make_dirs(path("data/modules"))));
    std::ofstream(path("data/modules/" + file_identity(file.get(), status))) << reference;
  };
  ASSERT_TRUE(ok(store().tag(image->id, *parse_reference("localhost/tool2:known"))));
  remember("localhost/tool2:known");
  EXPECT_EQ(import_module(store(), other)->id, image->id);
  remember("localhost/tool:x");  // the file has another name now
  EXPECT_NE(import_module(store(), other)->id, image->id);
}

oci::Manifest manifest_of(std::initializer_list<std::string_view> media_types) {
  oci::Manifest manifest;
  for (const std::string_view type : media_types) {
    manifest.layers.push_back({.media_type = std::string(type),
                               .digest = digest_of(std::to_string(manifest.layers.size()))});
  }
  return manifest;
}

TEST(FileSystemLayers, AModuleHasItsOwnDigest) {
  const auto artifact = file_system_layers(manifest_of({kWasmLayer}), {});
  ASSERT_TRUE(ok(artifact));
  EXPECT_EQ(artifact->front().diff_id, digest_of("0"));
}

TEST(FileSystemLayers, TarsAndModulesMix) {
  const oci::Manifest manifest = manifest_of({oci::kMediaLayer, kWasmLayer});
  const oci::ImageConfig config{.diff_ids = {digest_of("tar"), digest_of("whatever")}};
  const auto layers = file_system_layers(manifest, config);
  ASSERT_TRUE(ok(layers));
  EXPECT_EQ(layers->at(0).diff_id, digest_of("tar"));
  EXPECT_EQ(layers->at(1).diff_id, digest_of("1"));
  EXPECT_FALSE(file_system_layers(manifest, {.diff_ids = {digest_of("tar")}}));
  EXPECT_FALSE(file_system_layers(manifest, {}));
}

TEST(FileSystemLayers, OtherArtifactsAreNone) {
  const auto layers = file_system_layers(manifest_of({"application/vnd.example"}), {});
  ASSERT_TRUE(ok(layers));
  EXPECT_TRUE(layers->empty());
}

TEST(RunnablePlatforms, TheHostsOwnComesBeforeWebAssembly) {
  const auto entry = [](const oci::Platform& platform) {
    return oci::Descriptor{.media_type = std::string(oci::kMediaManifest),
                           .digest = digest_of(print_platform(platform)),
                           .platform = platform};
  };
  const oci::Platform wasm{"wasip1", "wasm", ""};
  const oci::Index both{.manifests = {entry(wasm), entry(host_platform())}};
  const oci::Index only_wasm{.manifests = {entry({"plan9", "amd64", ""}), entry(wasm)}};
  EXPECT_EQ(choose_manifests(both, runnable_platforms())->front().platform->os, "linux");
  EXPECT_EQ(choose_manifests(only_wasm, runnable_platforms())->front().platform->os, "wasip1");
}

}  // namespace
}  // namespace trivet::image
