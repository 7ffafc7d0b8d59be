// The store of saved machines, and the report of what this host has.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/fs.h"
#include "payload/microvm/support.h"
#include "payload/microvm/template_store.h"
#include "payload/scratch.h"

namespace trivet::payload::microvm {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Wait = TemplateStore::Wait;

constexpr uint64_t kMemory = 1U << 20U;

class Templates : public ::testing::Test {
 protected:
  [[nodiscard]] TemplateStore store(TemplateLimits limits = {}) const {
    return TemplateStore(directory, limits);
  }
  static Result<> save(const TemplateStore::Files& files) {
    TRY(write_all(files.memory, "memory", "memory"));
    return write_all(files.state, "state", "state");
  }
  [[nodiscard]] std::vector<std::string> names() const {
    return list_dir(AT_FDCWD, directory + "/templates").value_or(std::vector<std::string>{});
  }

  Scratch scratch;
  const std::string& directory = scratch.path();
};

TEST_F(Templates, AreFoundOnceTheyWereMade) {
  EXPECT_FALSE(store().find("key"));
  const auto made = store().make("key", kMemory, "test", Wait::kYes, save);
  ASSERT_TRUE(made) << made.error().message();
  const auto found = store().find("key");
  ASSERT_TRUE(found);
  EXPECT_THAT(*read_fd(found->memory.get(), "memory", kMemory), testing::StartsWith("memory"));
  EXPECT_EQ(*read_fd(found->state.get(), "state"), "state");
  EXPECT_EQ(fcntl(found->memory.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(store().list()->at(0).what, "test");
}

TEST_F(Templates, AreMadeOnce) {
  std::atomic<int> made = 0;
  const auto count = [&made](const TemplateStore::Files& files) {
    ++made;
    return save(files);
  };
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      EXPECT_TRUE(store().make("key", kMemory, "test", Wait::kYes, count).value_or(std::nullopt));
    });
  }
  threads.clear();
  EXPECT_EQ(made, 1);
}

TEST_F(Templates, AreNotWaitedForIfNobodyWants) {
  bool inner = true;
  const auto outer = store().make("key", kMemory, "test", Wait::kYes, [&](const auto& files) {
    inner = store().make("key", kMemory, "test", Wait::kNo, save)->has_value();
    return save(files);
  });
  EXPECT_TRUE(outer.value());
  EXPECT_FALSE(inner);
}

TEST_F(Templates, LeaveNothingOfAFailure) {
  const auto failed = store().make("key", kMemory, "test", Wait::kYes, [](const auto&) -> Result<> {
    return fail(ErrorCode::kSystem, "no boot");
  });
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("no boot"));
  EXPECT_EQ(names().size(), 1U);  // the lock
  // What was not saved completely is none either.
  EXPECT_FALSE(
      store().make("key", kMemory, "test", Wait::kYes, [](const auto&) -> Result<> { return {}; }));
  EXPECT_FALSE(store().find("key"));
}

TEST_F(Templates, LeaveNothingOfACrash) {
  fs::create_directories(directory + "/templates/key.part-dead");
  fs::permissions(directory + "/templates", fs::perms::owner_all);
  ASSERT_TRUE(store().make("key", kMemory, "test", Wait::kYes, save));
  EXPECT_EQ(names().size(), 2U);
}

TEST_F(Templates, ThatWereChangedAreRemoved) {
  const auto damage = [this](const std::string& file, const auto& change) {
    ASSERT_TRUE(store().make("key", kMemory, "test", Wait::kYes, save));
    change(directory + "/templates/key/" + file);
    EXPECT_FALSE(store().find("key")) << file;
    EXPECT_FALSE(exists(directory + "/templates/key"));
  };
  damage("memory", [](const std::string& path) {
    // The size stays, and the time is put back: the change time tells.
    const auto before = fs::last_write_time(path);
    const auto fd = open_file(path, O_WRONLY);
    ASSERT_TRUE(write_all(fd->get(), "MEMORY", "memory"));
    fs::last_write_time(path, before);
  });
  damage("state", [](const std::string& path) { std::ofstream(path) << "other"; });
  damage("state", [](const std::string& path) { fs::remove(path); });
  damage("template.json", [](const std::string& path) { std::ofstream(path) << "{}"; });
  damage("template.json", [](const std::string& path) {
    std::string text = *read_file(path);
    text.replace(text.find("boot_id\":\"") + 10, 4, "0000");
    std::ofstream(path) << text;
  });
}

Result<> save_with_disk(const TemplateStore::Files& files) {
  TRY(write_all(files.memory, "memory", "memory"));
  TRY(write_all(files.state, "state", "state"));
  return replace_file(AT_FDCWD, files.disk, "disk", 0600);
}

TEST_F(Templates, HaveTheDiskThatWasMadeWithThem) {
  ASSERT_TRUE(store().make("key", kMemory, "test", Wait::kYes, save_with_disk));
  const auto found = store().find("key");
  ASSERT_TRUE(found);
  EXPECT_EQ(read_fd(found->disk.get(), "disk", 64).value_or(""), "disk");
  // The same bytes in another file: it could have been anyone's.
  const std::string path = directory + "/templates/key/disk";
  ASSERT_TRUE(replace_file(AT_FDCWD, path, "disk", 0600));
  EXPECT_FALSE(store().find("key"));
  EXPECT_FALSE(fs::exists(directory + "/templates/key"));
}

TEST_F(Templates, OfBothKindsAreClearedTogether) {
  const TemplateStore warm = warm_templates(directory);
  ASSERT_TRUE(store().make("key", kMemory, "test", Wait::kYes, save));
  ASSERT_TRUE(warm.make("key", kMemory, "test", Wait::kYes, save_with_disk));
  ASSERT_TRUE(clear_templates(directory));
  EXPECT_FALSE(store().find("key"));
  EXPECT_FALSE(warm.find("key"));
}

TEST_F(Templates, BeyondTheLimitGoLeastRecentlyUsedFirst) {
  const TemplateStore small = store({.count = 2, .bytes = 1U << 30U});
  ASSERT_TRUE(small.make("a", kMemory, "test", Wait::kYes, save));
  ASSERT_TRUE(small.make("b", kMemory, "test", Wait::kYes, save));
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(small.find("a"));
  ASSERT_TRUE(small.make("c", kMemory, "test", Wait::kYes, save));
  EXPECT_TRUE(small.find("a"));
  EXPECT_FALSE(small.find("b"));
  EXPECT_TRUE(small.find("c"));
  const TemplateStore tiny = store({.count = 8, .bytes = 1});
  ASSERT_TRUE(tiny.make("d", kMemory, "test", Wait::kYes, save));
  EXPECT_EQ(tiny.list()->size(), 1U);
}

TEST_F(Templates, AreAllRemovedByClear) {
  ASSERT_TRUE(store().make("a", kMemory, "test", Wait::kYes, save));
  ASSERT_TRUE(store().make("b", kMemory, "test", Wait::kYes, save));
  EXPECT_GT(*store().clear(), 0U);
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(*store().clear(), 0U);
}

TEST(TemplateKey, DiffersWithEveryInput) {
  const TemplateInputs base{.qemu = "q",
                            .vmm = "v",
                            .kernel_digest = "k",
                            .initramfs_digest = "i",
                            .tsc_khz = 1,
                            .vcpus = 1,
                            .memory_mib = 1,
                            .devices = {"a", "b"},
                            .processor = "p"};
  std::vector<TemplateInputs> others(11, base);
  others[0].qemu += '2';
  others[1].kernel_digest += '2';
  others[2].initramfs_digest += '2';
  others[3].accelerator = Accelerator::kKvm;
  others[4].tsc_khz = 2;
  others[5].vcpus = 2;
  others[6].memory_mib = 2;
  others[7].acpi = false;
  others[8].devices = {"ab"};
  others[9].processor += '2';
  others[10].vmm += '2';
  std::vector<std::string> keys{template_key(base)};
  for (const TemplateInputs& inputs : others) keys.push_back(template_key(inputs));
  EXPECT_EQ(keys.front(), template_key(base));
  EXPECT_EQ(keys.front().size(), 64U);
  std::ranges::sort(keys);
  EXPECT_EQ(std::ranges::unique(keys).size(), 0U);
}

TEST_F(Templates, KnowWhichProgramItIs) {
  EXPECT_EQ(identify_program("/bin/sh").value(), identify_program("/bin/sh").value());
  EXPECT_NE(identify_program("/bin/sh").value(), identify_program("/bin/cat").value());
  EXPECT_FALSE(identify_program(directory + "/qemu"));
}

TEST_F(Templates, AreAPartOfAHostThatSaysWhatItLacks) {
  const Support support = microvm_support(directory, Depth::kPresence);
  EXPECT_FALSE(support.available());  // there is no kernel in an empty directory
  EXPECT_THAT(support.reason(), HasSubstr("no guest kernel"));
  for (const Part& part : support.parts) {
    EXPECT_EQ(part.available, part.reason.empty()) << part.name;
    EXPECT_EQ(part.available, !part.found.empty()) << part.name;
  }
}

}  // namespace
}  // namespace trivet::payload::microvm
