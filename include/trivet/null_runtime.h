// A container engine that is only memory, for the tests of programs that use trivet::Runtime.
//
//   auto null = std::make_shared<trivet::NullRuntime>();
//   null->add_container({.name = "web", .status = trivet::ContainerStatus::kRunning});
//   null->on_exec("web", {"cat"}, trivet::ExecScript().reads("hello").prints("HELLO"));
//   program_under_test(trivet::Runtime(null));
//   EXPECT_TRUE(null->verify());
//
// It follows the rules of real engines: what is not there is kNotFound, states change as they do,
// a running container is waited for. What a program does is scripted, and each call is recorded.
// Where the program under test does something else than the script says, the call fails with words
// for what differed, and verify() keeps them for when the program swallows errors.
//
// Thread safety: all functions may be called from several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "trivet/backend.h"
#include "trivet/export.h"

namespace trivet {

namespace backend {
class ExecPlayer;
class NullState;
}  // namespace backend

// What a command does, step by step: what it reads from its input and prints. It ends after the
// last step, with exit code 0 unless another is given; input that is left over is dropped.
class TRIVET_API ExecScript {
 public:
  // The command prints to its stdout, to its stderr.
  ExecScript& prints(std::string bytes);
  // The same on its stderr.
  ExecScript& prints_error(std::string bytes);
  // It takes exactly these bytes from its input: others are a failure of the test. That there are
  // more after them is none.
  ExecScript& reads(std::string bytes);
  // It reads on and finds its input at the end.
  ExecScript& reads_end();
  // It does not end by itself. With a timeout the call fails with kTimeout at once: tests do not
  // wait. Without one it waits for the stop of the command.
  ExecScript& hangs();
  // It ends now; what follows is not looked at.
  ExecScript& exits(int code);
  // The call fails with this.
  ExecScript& fails(Error error);

  // Its environment must have these entries, "NAME=VALUE" each.
  ExecScript& needs_env(std::vector<std::string> env);
  // For any number of calls. Otherwise the script is for one, and must be used.
  ExecScript& repeats();

 private:
  friend class NullRuntime;
  friend class backend::ExecPlayer;
  enum class Kind { kPrint, kPrintError, kRead, kReadEnd, kHang, kExit, kFail };
  struct Step {
    Kind kind = Kind::kExit;
    std::string bytes;
    int exit_code = 0;
    std::optional<Error> error;
  };
  ExecScript& add(Step step);

  std::vector<Step> steps_;
  std::vector<std::string> env_;
  bool repeats_ = false;
};

// What a container does when it is started. By default it runs until it is stopped.
struct StartScript {
  std::vector<std::string> logs;  // the lines that it prints
  std::optional<int> exit_code;   // it ends at once, with this
};

// One call of a NullRuntime.
struct TRIVET_API NullCall {
  // The functions of Backend, by their names.
  enum class Operation {
    kCreate,
    kRun,
    kStart,
    kStop,
    kWait,
    kRemove,
    kFind,
    kList,
    kCopyIn,
    kExec,
    kLoginCommand,
    kLogs,
    kFindImage,
    kListImages,
    kImageHistory,
    kRemoveImage,
    kReservePort
  };
  Operation operation = Operation::kFind;  // which function
  std::string target;                      // the container, the image, the host
  std::vector<std::string> args;           // argv, paths, seconds of grace, "force"
  std::vector<std::string> env;            // kExec
  RunOptions options;                      // kCreate, kRun

  // "exec web ls -l": operation, target and args.
  [[nodiscard]] std::string describe() const;
};

// An engine in memory. Thread-safe, as every Backend.
class TRIVET_API NullRuntime final : public Backend {
 public:
  // What can be called, and made to fail.
  using Operation = NullCall::Operation;

  NullRuntime();
  ~NullRuntime() override;

  // --- what there is

  // A container in whatever state; only the name is needed. Replaces one of the same name.
  void add_container(ContainerInfo info);
  // An image; `names` as "docker.io/library/alpine:latest", none for a dangling one. An id is made
  // up when there is none.
  void add_image(ImageInfo info, std::vector<ImageHistoryEntry> history = {});

  // --- what happens. For a container that does not exist these do nothing.

  // Its state from now on; nobody who waits is told.
  void set_state(std::string_view container, ContainerStatus status);
  // What its writable layer is said to hold.
  void set_rw_size(std::string_view container, uint64_t bytes);
  // It ends by itself: whoever waits for it goes on.
  void end_container(std::string_view container, int exit_code);
  // It prints a line.
  void add_log(std::string_view container, std::string text,
               LogLine::Stream stream = LogLine::Stream::kStdout);

  // --- what programs do

  // Whenever a container of this name is started. The container need not exist yet.
  void when_started(std::string container, StartScript script);
  // When exactly this command is run in the container, which must run. Of several scripts for a
  // command each is for one call, in their order. A command without a script is kUnsupported.
  void on_exec(std::string container, std::vector<std::string> argv, ExecScript script);
  // The next call of this function fails, before it does anything. Several are used in order.
  void fail_next(Operation operation, Error error);

  // --- what was done

  // All calls so far, oldest first, those that failed included.
  [[nodiscard]] std::vector<NullCall> calls() const;
  // Whether these were the calls, as NullCall::describe() writes them; the error says which of them
  // differs. Left out are those that only look: find, list, find_image, list_images, image_history.
  [[nodiscard]] Result<> check_calls(const std::vector<std::string>& expected) const;
  // Whether all went by the scripts: none was left unused, and nothing differed from one.
  [[nodiscard]] Result<> verify() const;

  // --- Backend

  [[nodiscard]] std::string_view name() const override { return "null"; }
  // The image must have been added; without a name one is made up.
  Result<std::string> create(const RunOptions& options) override;
  Result<std::string> run(const RunOptions& options) override;
  Result<> start(const std::string& container) override;
  // A container that is stopped ends with 143, that of SIGTERM.
  Result<> stop(const std::string& container, std::chrono::seconds grace) override;
  Result<int> wait(const std::string& container, std::optional<std::chrono::milliseconds> timeout,
                   std::stop_token stop) override;
  Result<> remove(const std::string& container, Force force) override;
  // As it was added or made; kNotFound.
  Result<ContainerInfo> find(const std::string& container, RwSize rw_size) override;
  Result<std::vector<ContainerInfo>> list(const ContainerQuery& query) override;
  // Recorded; no file is looked at.
  Result<> copy_in(const std::string& container, const std::filesystem::path& source,
                   const std::string& destination) override;
  Result<int> exec(const std::string& container, const ExecCommand& command,
                   const ExecStdio& stdio) override;
  // That of trivet: "trivet exec -it CONTAINER ARGV…".
  Result<std::vector<std::string>> login_command(const std::string& container,
                                                 const std::vector<std::string>& argv) override;
  Result<std::unique_ptr<LogSource>> logs(const std::string& container,
                                          const LogOptions& options) override;
  Result<ImageInfo> find_image(const std::string& image) override;
  // In the order in which they were added.
  Result<std::vector<ImageInfo>> list_images() override;
  Result<std::vector<ImageHistoryEntry>> image_history(const std::string& image) override;
  Result<> remove_image(const std::string& image, Force force) override;
  // A real port of this host: programs bind what they reserve.
  Result<ReservedPort> reserve_port(const std::string& host) override;

 private:
  std::shared_ptr<backend::NullState> state_;  // streams of logs outlive the runtime
};

}  // namespace trivet
