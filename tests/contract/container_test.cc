// Containers: what is asked of them, and their lives.
#include <algorithm>
#include <arpa/inet.h>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "contract.h"

namespace trivet::contract {

namespace {

TEST_F(Contract, AbsentContainersGiveEmptyResults) {
  const Container absent = runtime.container("absent");
  EXPECT_EQ(absent.name(), "absent");
  const auto info = absent.info(RwSize::kMeasure);
  ASSERT_OK(info);
  EXPECT_FALSE(*info);
  EXPECT_GIVES(std::nullopt, absent.state());
  EXPECT_EQ(absent.running(), false);
  EXPECT_GIVES(std::nullopt, absent.rw_size());
  EXPECT_GIVES(std::nullopt, absent.wait(0ms));
  EXPECT_EQ(absent.remove(), false);
  const auto image = absent.image();
  ASSERT_OK(image);
  EXPECT_FALSE(*image);
  ASSERT_OK(absent.stop(0s));
  EXPECT_EQ(absent.stream_initial_logs([](const LogLine&) { return true; }, 1ms), false);
  auto logs = absent.logs({.follow = true});
  ASSERT_OK(logs);
  EXPECT_EQ(std::ranges::distance(*logs), 0);
}

TEST_F(Contract, WhoActsOnAnAbsentContainerIsTold) {
  const Container absent = runtime.container("absent");
  EXPECT_CODE(kNotFound, absent.start());
  EXPECT_CODE(kNotFound, absent.copy_in("/etc/hostname", "/"));
  EXPECT_CODE(kNotFound, runtime.exec(absent, {"true"}));
}

TEST_F(Contract, OneIsRunStoppedAndRemoved) {
  const auto box = run_waiting("box");
  ASSERT_OK(box);
  EXPECT_EQ(box->running(), true);
  EXPECT_EQ(box->state(), ContainerStatus::kRunning);
  const auto info = box->info();
  ASSERT_OK(info);
  EXPECT_EQ((*info)->name, "box");
  EXPECT_FALSE((*info)->rw_size) << "it was not asked for";
  const auto image = box->image();
  ASSERT_OK(image);
  EXPECT_GIVES(*runtime.image(bench().image).id(), (*image)->id());
  ASSERT_OK(box->start());  // running already is fine
  EXPECT_CODE(kTimeout, box->wait(10ms));
  EXPECT_CODE(kWrongState, box->remove());
  ASSERT_OK(box->stop(1s));
  ASSERT_OK(box->stop(1s));  // not running is fine
  EXPECT_EQ(box->state(), ContainerStatus::kStopped);
  const auto code = box->wait();
  ASSERT_OK(code);
  EXPECT_GE(code->value_or(0), 128) << "a signal has ended it";
  EXPECT_EQ(box->remove(), true);
  EXPECT_GIVES(std::nullopt, box->state());
}

TEST_F(Contract, OneIsCreatedAndStartedLater) {
  will_when_started("later", {.logs = {}, .exit_code = 7});
  const auto box = runtime.create(options("later", {"exit", "7"}));
  ASSERT_OK(box);
  EXPECT_EQ(box->state(), ContainerStatus::kCreated);
  EXPECT_CODE(kWrongState, box->wait(0ms));
  ASSERT_OK(box->start());
  EXPECT_EQ(box->wait(30s * bench().patience), 7);
  EXPECT_CODE(kAlreadyExists, runtime.create(options("later", {"exit", "0"})));
}

TEST_F(Contract, ANameIsMadeUp) {
  const auto box = runtime.create(options("", {"exit", "0"}));
  ASSERT_OK(box);
  EXPECT_FALSE(box->name().empty());
  EXPECT_EQ(box->state(), ContainerStatus::kCreated);
}

// The beginning of an id is no name: a program that removes "a" must not hit another container.
TEST_F(Contract, TheBeginningOfAnIdIsNobody) {
  const auto box = runtime.create(options("whole", {"exit", "0"}));
  ASSERT_OK(box);
  const auto info = box->info();
  ASSERT_OK(info);
  const std::string id = (*info)->id;
  EXPECT_EQ(runtime.container(id.substr(0, 12)).remove(Force::kYes), false);
  EXPECT_EQ(runtime.container(id).state(), ContainerStatus::kCreated);
}

TEST_F(Contract, NothingIsLeftOfOneThatCanNotBeRun) {
  RunOptions wrong = options("wrong", {});
  wrong.image = "docker.io/library/absent:latest";
  wrong.pull = "never";
  EXPECT_CODE(kNotFound, runtime.run(wrong));
  EXPECT_GIVES(std::nullopt, runtime.container("wrong").state());
}

TEST_F(Contract, WaitingCanBeGivenUp) {
  const auto box = run_waiting("box");
  ASSERT_OK(box);
  std::stop_source source;
  std::jthread other([&] {
    std::this_thread::sleep_for(50ms);
    source.request_stop();
  });
  EXPECT_CODE(kCanceled, box->wait(60s, source.get_token()));
}

TEST_F(Contract, WaitingEndsWithTheContainer) {
  const auto box = run_waiting("box");
  ASSERT_OK(box);
  std::jthread other([&] {
    std::this_thread::sleep_for(50ms);
    EXPECT_TRUE(box->stop(0s));
  });
  const auto code = box->wait(60s * bench().patience);
  ASSERT_OK(code);
  EXPECT_TRUE(*code);
}

TEST_F(Contract, APrefixIsAWholeWord) {
  for (const char* name : {"task-1", "task-2-b", "tasks-1", "task", "other-task-1"}) {
    ASSERT_OK(runtime.create(options(name, {"exit", "0"})));
  }
  const auto found = runtime.containers_with_prefix("task");
  ASSERT_OK(found);
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).name(), "task-2-b") << "newest first";
  EXPECT_EQ(found->at(1).name(), "task-1");
  EXPECT_CODE(kInvalidArgument, runtime.containers_with_prefix(""));
}

TEST_F(Contract, ManyAreDescribedAtOnce) {
  for (const char* name : {"one", "two", "three"}) {
    ASSERT_OK(runtime.create(options(name, {"exit", "0"})));
  }
  const auto found = runtime.list(
      {.prefix = "", .names = {"one", "three", "absent"}, .rw_size = RwSize::kMeasure});
  ASSERT_OK(found);
  ASSERT_EQ(found->size(), 2U);
  for (const ContainerInfo& info : *found) {
    EXPECT_NE(info.rw_size.has_value(), bench().files_are_hidden) << info.name;
    EXPECT_EQ(info.status, ContainerStatus::kCreated);
  }
}

TEST_F(Contract, ManyAreRemovedWhateverTheyAre) {
  const auto running = run_waiting("running");
  const auto created = runtime.create(options("created", {"exit", "0"}));
  ASSERT_OK(running);
  ASSERT_OK(created);
  const auto results = runtime.force_remove({*running, runtime.container("absent"), *created});
  ASSERT_EQ(results.size(), 3U);
  for (const RemoveResult& result : results) {
    EXPECT_TRUE(result.removed) << result.name;
    EXPECT_FALSE(result.error) << result.name;
  }
  EXPECT_EQ(results[1].name, "absent");
  EXPECT_GIVES(std::nullopt, running->state());
}

// A file of this host while the object lives.
class HostFile {
 public:
  HostFile() { std::ofstream(path_) << "from outside"; }
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;
  ~HostFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("trivet-contract-" + std::to_string(getpid()));
};

TEST_F(Contract, FilesAreCopiedIn) {
  const HostFile file;
  const auto box = run_waiting("box");
  ASSERT_OK(box);
  ASSERT_OK(box->copy_in(file.path(), "/copied"));
  will("box", probe("read", "/copied"), ExecScript().prints("from outside\n"));
  const auto done = runtime.exec(*box, probe("read", "/copied"));
  ASSERT_OK(done);
  EXPECT_EQ(done->stdout, "from outside\n");
}

TEST_F(Contract, FilesAreCopiedIntoOneThatDoesNotRun) {
  const HostFile file;
  const auto box = runtime.create(options("box", {"echo", "up", ",", "sleep", "100000000"}));
  ASSERT_OK(box);
  if (bench().files_are_hidden) {
    EXPECT_CODE(kWrongState, box->copy_in(file.path(), "/copied"));
    return;
  }
  ASSERT_OK(box->copy_in(file.path(), "/copied"));
  ASSERT_OK(box->start());
  will("box", probe("read", "/copied"), ExecScript().prints("from outside\n"));
  const auto done = runtime.exec(*box, probe("read", "/copied"));
  ASSERT_OK(done);
  EXPECT_EQ(done->stdout, "from outside\n");
}

TEST_F(Contract, ALoginIsAProgramOfTheHost) {
  const Container box = runtime.container("box");
  const auto command = box.login_command({"/bin/bash", "-l"});
  ASSERT_OK(command);
  ASSERT_GT(command->size(), 3U);
  EXPECT_EQ(std::vector(command->end() - 2, command->end()),
            (std::vector<std::string>{"/bin/bash", "-l"}));
  EXPECT_NE(std::ranges::find(*command, "box"), command->end());
  EXPECT_CODE(kInvalidArgument, box.login_command({}));
  EXPECT_CODE(kInvalidArgument, box.login_command({""}));
}

// Whether a program could bind the port now.
bool is_free(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return free;
}

TEST_F(Contract, APortIsHeldUntilItIsClosed) {
  auto port = runtime.reserve_port();
  ASSERT_OK(port);
  EXPECT_GT(port->port(), 0);
  EXPECT_EQ(port->host(), "127.0.0.1");
  EXPECT_FALSE(is_free(port->port()));
  ReservedPort moved = std::move(*port);
  EXPECT_FALSE(port->held());
  EXPECT_TRUE(moved.held());
  EXPECT_FALSE(is_free(moved.port()));
  moved.close();
  moved.close();
  EXPECT_FALSE(moved.held());
  EXPECT_TRUE(is_free(moved.port()));
}

TEST_F(Contract, APortIsOfAnAddressOfThisHost) {
  ASSERT_OK(runtime.reserve_port("localhost"));
  ASSERT_OK(runtime.reserve_port("0.0.0.0"));
  EXPECT_CODE(kInvalidArgument, runtime.reserve_port("192.0.2.1"));
  EXPECT_CODE(kInvalidArgument, runtime.reserve_port("a name"));
  EXPECT_CODE(kInvalidArgument, runtime.reserve_port(""));
}

}  // namespace

}  // namespace trivet::contract
