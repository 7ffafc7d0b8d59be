#include "image/bundle.h"

#include <sys/sysmacros.h>

#include "base/json.h"
#include "store_fixture.h"
#include "tar_builder.h"

namespace trivet::image {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::ok;
using testing::TarBuilder;

class BundleTest : public testing::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }

  // The layers of an image made of these tars, lowest first.
  std::vector<std::string> layers_of(const std::vector<std::string>& tars) {
    const auto image = make_image(tars, {}, std::nullopt);
    EXPECT_TRUE(ok(image));
    return *store().layer_directories(*image);
  }
};

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\nbroken line\n1234:x:77:78::/odd:/bin/sh\n"
    "web:x:1000:1001:Web:/srv/web:/bin/sh\nnohome:x:1002:1002:::\n";
constexpr const char* kGroup = "root:x:0:\nadm:x:4:web,root\nvideo:x:44: web\nweb:x:1001:\n";

TEST_F(BundleTest, ResolvesUsersAsDockerDoes) {
  const auto layers =
      layers_of({TarBuilder().file("etc/passwd", kPasswd).file("etc/group", kGroup).end()});
  const auto check = [&](const char* text, uint32_t uid, uint32_t gid,
                         const std::vector<uint32_t>& groups, const char* expected_home) {
    std::string home;
    const auto user = resolve_user(layers, text, &home);
    ASSERT_TRUE(ok(user)) << text;
    EXPECT_EQ(user->uid, uid) << text;
    EXPECT_EQ(user->gid, gid) << text;
    EXPECT_EQ(user->additional_gids, groups) << text;
    EXPECT_EQ(home, expected_home) << text;
  };
  check("", 0, 0, {0, 4}, "/root");
  check("web", 1000, 1001, {1001, 4, 44}, "/srv/web");
  check("1000", 1000, 1001, {1001, 4, 44}, "/srv/web");
  check("web:adm", 1000, 4, {4}, "/srv/web");
  check("web:7", 1000, 7, {7}, "/srv/web");
  check("5555", 5555, 0, {0}, "/");
  check("5555:video", 5555, 44, {44}, "/");
  check("1234", 77, 78, {78}, "/odd");
  check("nohome", 1002, 1002, {1002}, "/");
  for (const char* bad : {"wbe", "web:nogroup", ":web", "web:", "4294967295", "-1"}) {
    const auto user = resolve_user(layers, bad, nullptr);
    ASSERT_FALSE(user) << bad;
    EXPECT_EQ(user.error().code(), ErrorCode::kInvalidArgument) << bad;
  }
  EXPECT_THAT(resolve_user(layers, "wbe", nullptr).error().hint_text(), HasSubstr("web"));
  EXPECT_EQ(resolve_user({}, "0", nullptr)->uid, 0U);
}

TEST_F(BundleTest, SeesFilesThroughTheLayers) {
  const auto content = [](const std::vector<std::string>& layers, const char* name) {
    const auto fd = open_in_layers(layers, name);
    return fd ? *read_fd(fd->get(), name) : std::string(error_code_name(fd.error().code()));
  };
  const auto layers = layers_of({TarBuilder()
                                     .file("lower/f", "lower")
                                     .file("gone", "x")
                                     .file("hidden/f", "x")
                                     .file("opaque/old", "x")
                                     .file("target/file", "through links")
                                     .end(),
                                 TarBuilder()
                                     .file("lower/g", "upper")
                                     .file(".wh.gone", "")
                                     .file(".wh.hidden", "")
                                     .file("opaque/.wh..wh..opq", "")
                                     .file("opaque/new", "new")
                                     .symlink("link", "/target/../target")
                                     .symlink("etc/alias", "../link/file")
                                     .symlink("loop", "loop")
                                     .symlink("up", "../../../lower/f")
                                     .add({.name = "device", .type = '3', .major = 1, .minor = 5})
                                     .end()});
  EXPECT_EQ(content(layers, "lower/f"), "lower");
  EXPECT_EQ(content(layers, "/lower/g"), "upper");
  EXPECT_EQ(content(layers, "gone"), "not-found");
  EXPECT_EQ(content(layers, "hidden/f"), "not-found");
  EXPECT_EQ(content(layers, "opaque/old"), "not-found");
  EXPECT_EQ(content(layers, "opaque/new"), "new");
  EXPECT_EQ(content(layers, "etc/alias"), "through links");
  EXPECT_EQ(content(layers, "up"), "lower");
  EXPECT_EQ(content(layers, "loop"), "system");
  EXPECT_EQ(content(layers, "lower"), "not-found");
  EXPECT_EQ(content(layers, "device"), "not-found");
  EXPECT_EQ(content(layers, "lower/f/x"), "not-found");
}

TEST_F(BundleTest, DefaultsFollowTheConversion) {
  oci::ImageConfig config{.created = "2026-01-02T03:04:05Z", .author = "me"};
  config.platform = {.os = "linux", .architecture = "amd64"};
  config.exposed_ports = {"80/tcp", "53/udp"};
  config.entrypoint = {"/e"};
  config.cmd = {"c"};
  config.working_dir = "srv";
  config.labels = {{"key", "value"}, {"org.opencontainers.image.author", "label"}};
  config.stop_signal = "SIGINT";
  const ImageDefaults defaults = image_defaults({.config = config});
  EXPECT_EQ(defaults.working_dir, "/srv");
  EXPECT_EQ(defaults.annotations.at("key"), "value");
  EXPECT_EQ(defaults.annotations.at("org.opencontainers.image.author"), "label");
  EXPECT_EQ(defaults.annotations.at("org.opencontainers.image.os"), "linux");
  EXPECT_EQ(defaults.annotations.at("org.opencontainers.image.exposedPorts"), "80/tcp,53/udp");
  EXPECT_EQ(defaults.annotations.at("org.opencontainers.image.stopSignal"), "SIGINT");
  EXPECT_EQ(image_defaults({}).working_dir, "/");
}

TEST_F(BundleTest, KnowsWasmWhenItSeesIt) {
  EXPECT_EQ(image_payload(Image{}), "native");
  EXPECT_EQ(image_payload({.config = {.platform = {.os = "wasi", .architecture = "wasm"}}}),
            "wasm");
  EXPECT_EQ(image_payload({.config = {.entrypoint = {"/app.wasm"}}}), "wasm");
  EXPECT_EQ(image_payload({.manifest = {.layers = {{.media_type = "application/wasm"}}}}), "wasm");
  EXPECT_EQ(image_payload({.config = {.labels = {{"run.oci.handler", "wasm"}}}}), "wasm");
  EXPECT_TRUE(demands_wasm({.config = {.labels = {{"module.wasm.image/variant", "compat"}}}}));
  EXPECT_FALSE(
      demands_wasm({.config = {.labels = {{"module.wasm.image/variant", "compat-smart"}}}}));
  EXPECT_FALSE(demands_wasm({.config = {.entrypoint = {"/app.wasm"}}}));
  const std::string tar = TarBuilder()
                              .file("bin/app", std::string("\0asm\1\0\0\0", 8), 0755)
                              .file("bin/sh", "#!x")
                              .end();
  const auto module = make_image({tar}, {.entrypoint = {"/bin/app"}}, std::nullopt);
  const auto script = make_image({tar}, {.entrypoint = {"/bin/sh"}}, std::nullopt);
  EXPECT_EQ(*image_payload(store(), *module), "wasm");
  EXPECT_EQ(*image_payload(store(), *script), "native");
}

TEST_F(BundleTest, WritesAFlatBundle) {
  const std::string lower = TarBuilder()
                                .file("etc/passwd", kPasswd)
                                .file("gone", "x")
                                .file("both", "lower")
                                .file("dir/old", "x")
                                .file("opaque/old", "x")
                                .file("type", "a file")
                                .end();
  const std::string upper = TarBuilder()
                                .file("opaque/new", "n")
                                .file("opaque/.wh..wh..opq", "")
                                .file("both", "upper")
                                .file(".wh.both", "")
                                .file(".wh.gone", "")
                                .file("dir/.wh.old", "")
                                .directory("type")
                                .end();
  const auto image =
      make_image({lower, upper}, {.user = "web", .cmd = {"/bin/true"}}, std::nullopt);
  ASSERT_TRUE(ok(image));
  const std::string bundle = path("bundle");
  ASSERT_TRUE(ok(write_oci_bundle(store(), *image, bundle)));
  EXPECT_THAT(*list_dir(AT_FDCWD, bundle + "/rootfs"),
              ElementsAre("both", "dir", "etc", "opaque", "type"));
  EXPECT_EQ(content_of(bundle + "/rootfs/both"), "upper");
  EXPECT_THAT(*list_dir(AT_FDCWD, bundle + "/rootfs/dir"), IsEmpty());
  EXPECT_THAT(*list_dir(AT_FDCWD, bundle + "/rootfs/opaque"), ElementsAre("new"));
  EXPECT_TRUE(S_ISDIR(status_of(bundle + "/rootfs/type").st_mode));
  const auto spec = oci::parse_spec(content_of(bundle + "/config.json"));
  ASSERT_TRUE(ok(spec));
  EXPECT_THAT(spec->process->args, ElementsAre("/bin/true"));
  EXPECT_EQ(spec->process->user.uid, 1000U);
  EXPECT_THAT(spec->process->env, ::testing::Contains("HOME=/srv/web"));
  // It must not exist, and a failure leaves nothing.
  EXPECT_EQ(write_oci_bundle(store(), *image, bundle).error().code(), ErrorCode::kAlreadyExists);
  const auto nobody = make_image({lower}, {.user = "nobody"}, std::nullopt);
  EXPECT_FALSE(write_oci_bundle(store(), *nobody, path("other")));
  EXPECT_FALSE(exists(path("other")));
}

}  // namespace
}  // namespace trivet::image
