#include "judge.h"

#include <chrono>

using namespace std::chrono_literals;

namespace {

// Removes the container on every way out.
class Remover {
 public:
  explicit Remover(const trivet::Container& container) : container_(container) {}
  Remover(const Remover&) = delete;
  Remover& operator=(const Remover&) = delete;
  ~Remover() { (void)container_.remove(trivet::Force::kYes); }

 private:
  const trivet::Container& container_;
};

}  // namespace

trivet::Result<Verdict> judge(const trivet::Runtime& runtime, const std::string& image,
                              const std::filesystem::path& script, const std::string& input) {
  trivet::RunOptions options;
  options.image = image;
  options.command = {"sleep", "60"};
  options.network = "none";
  options.memory = 64 << 20;
  options.pids = 32;

  auto container = runtime.run(options);
  if (!container) return std::unexpected(container.error());
  const Remover remover(*container);

  auto copied = container->copy_in(script, "/script");
  if (!copied) return std::unexpected(copied.error());

  Verdict verdict;
  trivet::ExecCommand command;
  command.argv = {"sh", "/script"};
  command.timeout = 10s;
  trivet::ExecStdio stdio;
  stdio.stdin = input;
  stdio.stdout = [&verdict](std::string_view bytes) -> trivet::Result<> {
    verdict.output += bytes;
    return {};
  };
  auto exit_code = runtime.exec_stdio(*container, command, stdio);
  if (!exit_code) return std::unexpected(exit_code.error());
  verdict.exit_code = *exit_code;
  return verdict;
}
