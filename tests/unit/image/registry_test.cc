// The registry protocol against a server that misbehaves as the test says. Pulls from a real
// registry are in tests/integration/test_registry.py.
#include <cstdlib>
#include <sys/stat.h>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/text.h"
#include "image/digest.h"
#include "image/http_fake_server.h"
#include "image/registry_blob.h"
#include "image/registry_manifest.h"
#include "image/registry_platform.h"

namespace trivet::image {
namespace {

using std::chrono::seconds;
using test::FakeReply;
using test::FakeRequest;
using test::FakeServer;
using testing::HasSubstr;

oci::Descriptor entry(const std::string& os, const std::string& architecture,
                      const std::string& variant = "") {
  return {.media_type = std::string(oci::kMediaManifest),
          .digest = digest_of(os + architecture + variant),
          .platform = oci::Platform{os, architecture, variant}};
}

TEST(PlatformChoice, TakesTheExactOne) {
  const oci::Index index{
      .manifests = {entry("linux", "arm64"), entry("linux", "amd64"), entry("windows", "amd64")}};
  const auto chosen = choose_manifests(index, {"linux", "amd64", ""});
  ASSERT_TRUE(chosen);
  ASSERT_EQ(chosen->size(), 1U);
  EXPECT_EQ(chosen->front().digest, digest_of("linuxamd64"));
}

TEST(PlatformChoice, PrefersTheNearestVariant) {
  const oci::Index index{.manifests = {entry("linux", "arm", "v5"), entry("linux", "arm", "v8"),
                                       entry("linux", "arm", "v6")}};
  const auto chosen = choose_manifests(index, {"linux", "arm", "v7"});
  ASSERT_TRUE(chosen);
  ASSERT_EQ(chosen->size(), 2U);
  EXPECT_EQ(chosen->at(0).digest, digest_of("linuxarmv6"));
  EXPECT_EQ(chosen->at(1).digest, digest_of("linuxarmv5"));
}

TEST(PlatformChoice, KnowsSynonyms) {
  EXPECT_TRUE(platform_matches({"linux", "arm64", "v8"}, {"linux", "aarch64", ""}));
  EXPECT_TRUE(platform_matches({"linux", "amd64", ""}, {"linux", "x86_64", ""}));
  EXPECT_TRUE(platform_matches({"linux", "arm", "v7"}, {"linux", "armv7l", ""}));
  EXPECT_FALSE(platform_matches({"linux", "amd64", "v3"}, {"linux", "amd64", ""}));
  EXPECT_FALSE(platform_matches({"linux", "arm64", ""}, {"linux", "arm", ""}));
}

TEST(PlatformChoice, SaysWhatThereIs) {
  const oci::Index index{.manifests = {entry("linux", "s390x"), entry("linux", "arm", "v7"),
                                       entry("unknown", "unknown")}};
  const auto chosen = choose_manifests(index, {"linux", "amd64", ""});
  ASSERT_FALSE(chosen);
  EXPECT_EQ(chosen.error().code(), ErrorCode::kNotFound);
  EXPECT_EQ(chosen.error().message(),
            "no image for platform linux/amd64; there is: linux/s390x, linux/arm/v7");
}

TEST(Endpoints, DockerHubAndMirrors) {
  const Reference reference{.registry = "docker.io", .repository = "library/busybox"};
  const auto plain = list_endpoints(reference, {});
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->front().host, "registry-1.docker.io");
  RegistryOptions options;
  options.mirrors = {"http://127.0.0.1:1/", "https://m.example"};
  const auto mirrored = list_endpoints(reference, options);
  ASSERT_TRUE(mirrored);
  ASSERT_EQ(mirrored->size(), 3U);
  EXPECT_EQ(mirrored->at(0).host, "127.0.0.1:1");
  EXPECT_EQ(mirrored->at(0).scheme, "http");
  EXPECT_TRUE(mirrored->at(1).is_mirror);
  EXPECT_EQ(mirrored->at(2).scheme, "https");
  options.plain_http = true;
  EXPECT_EQ(list_endpoints(reference, options)->at(1).scheme, "https") << "a mirror has its own";
  EXPECT_EQ(list_endpoints(reference, options)->at(2).scheme, "http");
  for (const char* bad : {"m.example", "ftp://m", "https://", "https://u@m", "https://m/path"}) {
    options.mirrors = {bad};
    EXPECT_FALSE(list_endpoints(reference, options)) << bad;
  }
}

// A store in a directory of its own, and a connection to a fake registry.
class Registry : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "trivet-registry-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    auto store = Store::open(directory_ + "/data");
    ASSERT_TRUE(store) << store.error().message();
    store_ = std::make_unique<Store>(std::move(*store));
    ASSERT_TRUE(replace_file(AT_FDCWD, directory_ + "/auth.json", "{}"));
    options_.auth_file = directory_ + "/auth.json";
  }
  void TearDown() override { (void)remove_tree(AT_FDCWD, directory_); }

  Result<RegistryConnection> connect(const FakeServer& server, seconds time = seconds(20)) {
    const Bounds bounds{.deadline = Clock::now() + time};
    reference_ = {.registry = server.host(), .repository = "a/b", .tag = "t"};
    auto endpoints = list_endpoints(reference_, options_);
    EXPECT_TRUE(endpoints);
    auto session = TRY(RegistrySession::open(endpoints->front(), reference_,
                                             RegistrySession::Access::kPull, options_, bounds));
    return RegistryConnection::open(session, bounds);
  }

  Result<> download(const FakeServer& server, const oci::Descriptor& blob,
                    uint64_t limit = 1U << 30U) {
    RegistryConnection connection = TRY(connect(server));
    const PullProgress callback = [&](const PullEvent& event) {
      if (event.kind == PullEvent::Kind::kRetry) retries_.push_back(event.message);
    };
    ProgressSink sink(callback);
    return download_blob(connection, *store_, blob, limit, sink);
  }

  Result<ResolvedManifest> resolve(const FakeServer& server, uint64_t limit = 1U << 20U) {
    RegistryConnection connection = TRY(connect(server));
    return resolve_manifest(connection, reference_, {{"linux", "amd64", ""}}, limit, {});
  }

  std::string directory_;
  std::unique_ptr<Store> store_;
  RegistryOptions options_;
  Reference reference_;
  std::vector<std::string> retries_;
};

std::string sample(size_t size) {
  std::string result;
  for (size_t i = 0; result.size() < size; ++i) result += fmt::format("{:07} ", i);
  result.resize(size);
  return result;
}

oci::Descriptor describe(const std::string& content) {
  return {.media_type = std::string(oci::kMediaLayer),
          .digest = digest_of(content),
          .size = content.size()};
}

// Where a Range header wants to start.
size_t wanted_start(const FakeRequest& request) {
  const auto found = request.headers.find("range");
  if (found == request.headers.end()) return 0;
  return std::stoul(found->second.substr(std::string_view("bytes=").size()));
}

FakeReply range_reply(const std::string& content, size_t start) {
  if (start == 0) return {.body = content};
  return {.status = 206,
          .body = content.substr(start),
          .headers = {fmt::format("Content-Range: bytes {}-{}/{}", start, content.size() - 1,
                                  content.size())}};
}

TEST_F(Registry, ABrokenDownloadGoesOnWhereItBroke) {
  const std::string content = sample(500000);
  std::atomic<int> tries = 0;
  FakeServer server([&](const FakeRequest& request) {
    if (request.path == "/v2/") return FakeReply{};
    FakeReply reply = range_reply(content, wanted_start(request));
    if (++tries <= 2) reply.send_only = 200000;
    return reply;
  });
  const auto done = download(server, describe(content));
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(store_->read_blob(digest_of(content)).value(), content);
  const auto requests = server.requests();
  ASSERT_EQ(server.count("/blobs/"), 3U);
  EXPECT_EQ(wanted_start(requests[requests.size() - 2]), 200000U);
  EXPECT_EQ(wanted_start(requests[requests.size() - 1]), 400000U);
  EXPECT_EQ(retries_.size(), 2U);
}

TEST_F(Registry, AServerThatIgnoresRangeIsReadFromTheStart) {
  const std::string content = sample(500000);
  std::atomic<int> tries = 0;
  FakeServer server([&](const FakeRequest&) {
    return FakeReply{.body = content, .send_only = ++tries == 2 ? 200000 : std::string::npos};
  });
  const auto done = download(server, describe(content));
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(store_->read_blob(digest_of(content)).value(), content);
}

TEST_F(Registry, AServerThatRefusesOrMistakesRangeIsReadFromTheStart) {
  const std::string content = sample(500000);
  for (const bool refuses : {true, false}) {
    std::atomic<int> tries = 0;
    FakeServer server([&](const FakeRequest& request) {
      if (request.path == "/v2/") return FakeReply{};
      if (++tries == 1) return FakeReply{.body = content, .send_only = 200000};
      if (!request.headers.contains("range")) return FakeReply{.body = content};
      return refuses ? FakeReply{.status = 416}
                     : FakeReply{.status = 206,
                                 .body = content,
                                 .headers = {"Content-Range: bytes 0-499999/500000"}};
    });
    const auto done = download(server, describe(content));
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(server.count("/blobs/"), 3U);
  }
}

TEST_F(Registry, AWrongDigestIsTriedOnceMoreOnly) {
  const std::string content = sample(100000);
  std::string wrong = content;
  wrong[50000] ^= 1;
  FakeServer server([&](const FakeRequest&) { return FakeReply{.body = wrong}; });
  const auto done = download(server, describe(content));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kDigestMismatch);
  EXPECT_EQ(server.count("/blobs/"), 2U);
  EXPECT_FALSE(store_->has_blob(digest_of(content)));
}

TEST_F(Registry, MoreBytesThanPromisedAreRefusedAtOnce) {
  const std::string content = sample(1000);
  FakeServer server([&](const FakeRequest&) { return FakeReply{.body = content + "more"}; });
  const auto done = download(server, describe(content));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kCorrupt);
  EXPECT_EQ(server.count("/blobs/"), 1U);
}

TEST_F(Registry, ATruncatedBlobIsNamedSo) {
  const std::string content = sample(1000);
  FakeServer server([&](const FakeRequest& request) {
    return request.headers.contains("range") ? FakeReply{.status = 416}
                                             : FakeReply{.body = content.substr(0, 600)};
  });
  const auto done = download(server, describe(content));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("sent 600 of 1000 bytes"));
  EXPECT_EQ(server.count("/blobs/"), static_cast<size_t>(kMaxAttempts));
  EXPECT_FALSE(store_->has_blob(digest_of(content)));
}

TEST_F(Registry, ABlobOverTheLimitIsNotAskedFor) {
  FakeServer server([](const FakeRequest&) { return FakeReply{}; });
  const auto done = download(server, describe(sample(1000)), 999);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kLimitExceeded);
  EXPECT_EQ(server.count("/blobs/"), 0U);
}

TEST_F(Registry, OutagesAndThrottlingAreWaitedFor) {
  const std::string content = sample(1000);
  std::atomic<int> tries = 0;
  FakeServer server([&](const FakeRequest& request) {
    if (request.path == "/v2/") return FakeReply{};
    switch (++tries) {
      case 1:
        return FakeReply{.status = 503};
      case 2:
        return FakeReply{.status = 429, .headers = {"Retry-After: 1"}};
      default:
        return FakeReply{.body = content};
    }
  });
  const auto start = Clock::now();
  const auto done = download(server, describe(content));
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_GE(Clock::now() - start, seconds(1));
  EXPECT_THAT(retries_, testing::ElementsAre(HasSubstr("503"), HasSubstr("429")));
}

TEST_F(Registry, AWaitThatIsTooLongIsNotBegun) {
  FakeServer server([](const FakeRequest& request) {
    return request.path == "/v2/" ? FakeReply{}
                                  : FakeReply{.status = 429, .headers = {"Retry-After: 3600"}};
  });
  const auto done = download(server, describe("x"));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message(), HasSubstr("429"));
}

TEST_F(Registry, AMissingBlobIsNotTriedAgain) {
  FakeServer server([](const FakeRequest&) {
    return FakeReply{
        .status = 404,
        .body = R"({"errors":[{"code":"BLOB_UNKNOWN","message":"no such\u001b blob"}]})"};
  });
  const auto done = download(server, describe("x"));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::kNotFound);
  EXPECT_THAT(done.error().message(), HasSubstr("no such blob"));
  EXPECT_EQ(server.count("/blobs/"), 1U);
}

TEST_F(Registry, OneTokenServesAllRequests) {
  const std::string content = sample(1000);
  std::string realm;
  FakeServer server([&](const FakeRequest& request) {
    if (request.path.starts_with("/token")) return FakeReply{.body = R"({"token":"T"})"};
    const auto found = request.headers.find("authorization");
    if (found == request.headers.end() || found->second != "Bearer T") {
      return FakeReply{.status = 401,
                       .headers = {"WWW-Authenticate: Bearer realm=\"" + realm + "\""}};
    }
    return FakeReply{.body = content};
  });
  realm = server.url("/token");
  options_.credentials = "user:pass";
  auto connection = connect(server);
  ASSERT_TRUE(connection) << connection.error().message();
  for (int i = 0; i < 3; ++i) {
    HttpRequest request;
    request.url = connection->session().url("blobs/x");
    const auto response = connection->send(request);
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ(response->status, 200);
  }
  EXPECT_EQ(server.count("/token"), 1U);
  EXPECT_EQ(server.count("/blobs/"), 4U);
}

TEST_F(Registry, ABasicChallengeWithoutCredentialsHasAHint) {
  FakeServer server([](const FakeRequest&) {
    return FakeReply{.status = 401, .headers = {"WWW-Authenticate: Basic realm=\"r\""}};
  });
  const auto found = resolve(server);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), ErrorCode::kUnauthorized);
  EXPECT_THAT(found.error().hint_text(), HasSubstr("--creds"));
  EXPECT_THAT(found.error().hint_text(), HasSubstr("docker login " + server.host()));
}

std::string manifest_text() {
  const std::string digest = digest_of("config");
  return fmt::format(
      R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{}","size":6}},"layers":[]}})",
      oci::kMediaManifest, oci::kMediaConfig, digest);
}

std::string index_text(const std::string& child, std::string_view type,
                       const std::string& platform) {
  return fmt::format(
      R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{}","size":{}{}}}]}})",
      oci::kMediaIndex, type, digest_of(child), child.size(), platform);
}

constexpr const char* kOurs = R"(,"platform":{"os":"linux","architecture":"amd64"})";

// Serves documents by digest, and `top` by its tag.
FakeServer::Handler serve_documents(const std::string& top,
                                    const std::vector<std::string>& others) {
  return [=](const FakeRequest& request) {
    const std::string version = request.path.substr(request.path.rfind('/') + 1);
    if (version == "t") return FakeReply{.body = top};
    for (const std::string& document : others) {
      if (digest_of(document) == version) return FakeReply{.body = document};
    }
    return FakeReply{.status = version.empty() ? 200 : 404};
  };
}

TEST_F(Registry, FollowsNestedIndexes) {
  const std::string manifest = manifest_text();
  const std::string inner = index_text(manifest, oci::kMediaManifest, kOurs);
  const std::string outer = index_text(inner, oci::kMediaIndex, "");
  FakeServer server(serve_documents(outer, {inner, manifest}));
  const auto found = resolve(server);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->digest, digest_of(manifest));
  EXPECT_EQ(found->content, manifest);
  EXPECT_THAT(server.requests().back().headers.at("accept"), HasSubstr("manifest"));
}

TEST_F(Registry, IndexesNestedTooDeepAreRefused) {
  std::vector<std::string> documents{manifest_text()};
  for (int i = 0; i <= kMaxIndexDepth; ++i) {
    documents.push_back(index_text(documents.back(), oci::kMediaIndex, ""));
  }
  FakeServer server(serve_documents(documents.back(), documents));
  const auto found = resolve(server);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), ErrorCode::kLimitExceeded);
}

TEST_F(Registry, ManifestsAreVerified) {
  const std::string manifest = manifest_text();
  // By the digest in the index…
  const std::string index = index_text(manifest, oci::kMediaManifest, kOurs);
  FakeServer swapped([&](const FakeRequest& request) {
    return FakeReply{.body = request.path.ends_with("/t") ? index : manifest + " "};
  });
  EXPECT_EQ(resolve(swapped).error().code(), ErrorCode::kDigestMismatch);
  // … and by the header.
  FakeServer damaged([&](const FakeRequest&) {
    return FakeReply{.body = manifest + " ",
                     .headers = {"Docker-Content-Digest: " + digest_of(manifest)}};
  });
  EXPECT_EQ(resolve(damaged).error().code(), ErrorCode::kDigestMismatch);
}

TEST_F(Registry, RefusesWhatIsNoManifest) {
  for (const auto& [text, code] : std::vector<std::pair<std::string, ErrorCode>>{
           {R"({"schemaVersion":1,"fsLayers":[]})", ErrorCode::kUnsupported},
           {R"({"manifests":[],"layers":[]})", ErrorCode::kCorrupt},
           {R"({"something":1})", ErrorCode::kUnsupported},
           {"[]", ErrorCode::kCorrupt}}) {
    FakeServer server(serve_documents(text, {}));
    const auto found = resolve(server);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code(), code) << found.error().message();
  }
}

TEST_F(Registry, AManifestOverTheLimitIsRefused) {
  FakeServer server(serve_documents(manifest_text() + std::string(1U << 20U, ' '), {}));
  const auto found = resolve(server);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), ErrorCode::kLimitExceeded);
}

TEST_F(Registry, NothingListeningIsSaid) {
  std::string host;
  {
    FakeServer gone([](const FakeRequest&) { return FakeReply{}; });
    host = gone.host();
  }
  const auto image = pull(*store_, {.registry = host, .repository = "a", .tag = "t"}, options_);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code(), ErrorCode::kNetwork);
  EXPECT_THAT(image.error().message(), HasSubstr("registry " + host));
}

}  // namespace
}  // namespace trivet::image
