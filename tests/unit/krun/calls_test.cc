#include "krun/calls.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace trivet::krun {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Words = std::vector<std::string>;

std::vector<std::string> record;  // of the functions below

int32_t create() {
  record.emplace_back("create");
  return 40;
}
int32_t configure(uint32_t context, uint8_t cpus, uint32_t memory) {
  record.push_back(fmt::format("configure {} {} {}", context, cpus, memory));
  return 0;
}
int32_t add_disk(uint32_t context, const char* id, const char* path, uint32_t format, bool fixed) {
  record.push_back(fmt::format("disk {} {} {} {} {}", context, id, path, format, fixed));
  return 0;
}
int32_t add_net(uint32_t context, const char* path, int fd, uint8_t* mac, uint32_t features,
                uint32_t flags) {
  record.push_back(fmt::format("net {} {} {} {:02x}-{:02x} {} {}", context, path == nullptr, fd,
                               mac[0], mac[5], features, flags));
  return 0;
}
int32_t start(uint32_t context) {
  record.push_back(fmt::format("start {}", context));
  return -EINVAL;
}

template <typename Type>
void* address_of(Type* function) {
  return reinterpret_cast<void*>(function);
}

Result<> make(const Words& words, const Addresses& addresses) {
  record.clear();
  const auto calls = parse_calls(words);
  if (!calls) return std::unexpected(calls.error());
  return make_calls(*calls, addresses);
}

TEST(KrunCalls, ArgumentsHaveTheirTypesAndResultsAreTaken) {
  const auto made =
      make({"krun_create_ctx",                                               //
            "krun_set_vm_config", "=krun_create_ctx", "255", "4294967295",   //
            "krun_add_disk2", "1", "disk0", "/proc/self/fd/7", "0", "true",  //
            "krun_add_net_unixstream", "1", "NULL", "-1", "52:54:00:00:00:Fe", "3", "0"},
           {address_of(create), address_of(configure), address_of(add_disk), address_of(add_net)});
  EXPECT_TRUE(made) << made.error().message();
  EXPECT_THAT(record,
              ElementsAre("create", "configure 40 255 4294967295",
                          "disk 1 disk0 /proc/self/fd/7 0 true", "net 1 true -1 52-fe 3 0"));
}

TEST(KrunCalls, ANegativeResultIsAnErrorOfThatFunctionAndTheLastCall) {
  const auto made = make({"krun_create_ctx", "krun_start_enter", "=krun_create_ctx",  //
                          "krun_create_ctx"},
                         {address_of(create), address_of(start), address_of(create)});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().errnum(), EINVAL);
  EXPECT_THAT(made.error().message(), HasSubstr("krun_start_enter: Invalid argument"));
  EXPECT_THAT(record, ElementsAre("create", "start 40"));
}

TEST(KrunCalls, WordsThatAreNoValuesAreRefused) {
  const struct {
    Words words;
    const char* says;
  } cases[] = {
      {{"krun_set_vm_config", "1", "256", "512"}, "256 is out of range"},
      {{"krun_set_vm_config", "-1", "1", "512"}, "-1 is out of range"},
      {{"krun_set_vm_config", "=krun_create_ctx", "1", "1"},
       "\"krun_create_ctx\" has not been called"},
      {{"krun_set_vm_config", "1", "one", "512"}, "one"},
  };
  for (const auto& entry : cases) {
    const auto made = make(entry.words, {address_of(configure)});
    ASSERT_FALSE(made) << entry.says;
    EXPECT_THAT(made.error().message(), HasSubstr(entry.says));
    EXPECT_THAT(made.error().message(), HasSubstr("krun_set_vm_config: "));
    EXPECT_THAT(record, ElementsAre());
  }
  EXPECT_FALSE(make({"krun_add_disk2", "1", "a", "b", "0", "yes"}, {address_of(add_disk)}));
  for (const char* mac : {"52:54:00:00:00", "52:54:00:00:00:0", "52:54:00:00:00:0g",
                          "52-54-00-00-00-00", "52:54:00:00:00:00:", "", "NULL"}) {
    EXPECT_FALSE(
        make({"krun_add_net_unixstream", "1", "NULL", "3", mac, "0", "0"}, {address_of(add_net)}))
        << mac;
  }
}

TEST(KrunCalls, UnknownFunctionsAndMissingArgumentsAreRefused) {
  EXPECT_THAT(parse_calls(Words{"krun_set_root", "1", "/"}).error().message(),
              HasSubstr("unknown function \"krun_set_root\""));
  EXPECT_THAT(parse_calls(Words{"krun_create_ctx", "krun_set_vm_config", "1"}).error().message(),
              HasSubstr("krun_set_vm_config has 3 arguments"));
}

}  // namespace
}  // namespace trivet::krun
