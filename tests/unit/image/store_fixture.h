// A store in a directory that goes with the test, and the steps that most tests need.
#pragma once

#include <optional>
#include <string>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "base/process.h"
#include "image/digest.h"
#include "image/import.h"
#include "image/store.h"

namespace trivet::image::testing {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = "/tmp/trivet-image-test-XXXXXX";
    path_ = mkdtemp(pattern.data()) != nullptr ? pattern : "";
  }
  ~TemporaryDirectory() { (void)remove_tree(AT_FDCWD, path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// `expr` succeeded; otherwise its error is the failure's text.
template <typename T>
::testing::AssertionResult ok(const Result<T>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << error_code_name(result.error().code()) << ": " << result.error().message();
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen({}); }

  void reopen(const Limits& limits) {
    auto opened = Store::open(directory_.path() + "/data", limits);
    ASSERT_TRUE(ok(opened));
    store_.emplace(std::move(*opened));
  }

  [[nodiscard]] const Store& store() const { return *store_; }
  [[nodiscard]] std::string path(const std::string& name) const {
    return directory_.path() + "/" + name;
  }
  [[nodiscard]] std::string diff(const std::string& diff_id, const std::string& name = "") const {
    return path("data/layers/" + hex_of(diff_id) + "/diff/" + name);
  }

  // Stores a blob and unpacks it; the tar's digest is that of `tar`, the blob may be compressed.
  Result<> unpack_blob(const std::string& blob, const std::string& diff_id) {
    oci::Descriptor layer{.media_type = std::string(oci::kMediaLayer)};
    layer.digest = TRY(store_->put_blob(blob));
    layer.size = blob.size();
    return store_->unpack_layer(layer, diff_id);
  }
  Result<> unpack(const std::string& tar) { return unpack_blob(tar, digest_of(tar)); }

  // The error of a tar that must be refused, and that nothing is left of it.
  Error refused(const std::string& tar) {
    const auto done = unpack(tar);
    EXPECT_FALSE(done) << "it was unpacked";
    EXPECT_FALSE(store_->has_layer(digest_of(tar)));
    EXPECT_FALSE(exists(path("data/layers/" + hex_of(digest_of(tar)))));
    EXPECT_THAT(*list_dir(AT_FDCWD, path("data/tmp")), ::testing::IsEmpty());
    return done ? Error(ErrorCode::kSystem, "no error") : done.error();
  }

  // An image of plain layers with a configuration, registered under a name.
  Result<Image> make_image(const std::vector<std::string>& tars, oci::ImageConfig config,
                           const std::optional<std::string>& name) {
    std::vector<std::string> layers;
    for (const std::string& tar : tars) {
      layers.push_back(TRY(store_->put_blob(tar)));
      config.diff_ids.push_back(digest_of(tar));
    }
    if (config.platform.os.empty()) config.platform = {.os = "linux", .architecture = "amd64"};
    const std::string config_digest = TRY(store_->put_blob(oci::print_image_config(config)));
    const std::string manifest = TRY(put_manifest(*store_, config_digest, layers));
    std::vector<Reference> names;
    if (name) names.push_back(TRY(parse_reference(*name)));
    return import_manifest(*store_, manifest, names);
  }

  static std::string content_of(const std::string& path) { return read_file(path).value_or("?"); }
  static struct stat status_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
    return status;
  }
  static std::string attribute(const std::string& path, const char* name) {
    std::string value(256, '\0');
    const ssize_t size = lgetxattr(path.c_str(), name, value.data(), value.size());
    value.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return value;
  }
  static bool is_whiteout(const std::string& path) {
    const struct stat status = status_of(path);
    return S_ISCHR(status.st_mode) && status.st_rdev == 0;
  }

  TemporaryDirectory directory_;
  std::optional<Store> store_;
};

}  // namespace trivet::image::testing
