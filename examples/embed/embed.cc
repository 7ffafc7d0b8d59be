// A program that runs a container: lists what there is, runs one in the background, waits for it,
// reads what it has said, and removes it.
//
//     embed ROOTFS COMMAND [ARGUMENT…]
#include <cstdio>
#include <string>

#include <trivet/engine.h>

namespace {

using trivet::Result;

// TRY gives the value of a Result, or returns its error from this function.
Result<> list(trivet::Engine& engine) {
  for (const trivet::ContainerInfo& container : TRY(engine.list(true))) {
    std::printf("container %s: %s\n", container.name.c_str(),
                trivet::container_status_name(container.status));
  }
  return {};
}

Result<> read_logs(trivet::Engine& engine, const std::string& id) {
  return engine.logs(
      id, {}, [](const trivet::LogLine& line) { std::printf("log: %s\n", line.text.c_str()); });
}

Result<int> run(int argc, char** argv) {
  trivet::Engine engine = TRY(trivet::Engine::open());
  trivet::RunOptions options;
  options.rootfs = argv[1];
  options.command.assign(argv + 2, argv + argc);
  options.name = "embedded";
  options.network = "none";
  options.detach = true;
  const std::string id = TRY_IN(engine.run(options), "cannot run \"{}\"", options.name)
  .id;
  TRY(list(engine));

  const int exit_code = TRY(engine.wait(id));
  TRY(read_logs(engine, id));
  TRY(engine.remove(id, true));
  std::printf("exit code %d\n", exit_code);
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: embed ROOTFS COMMAND [ARGUMENT...]\n");
    return 2;
  }
  const Result<int> result = run(argc, argv);
  if (result) return *result;
  std::fprintf(stderr, "embed: %s\n", result.error().message().c_str());
  if (!result.error().hint_text().empty()) {
    std::fprintf(stderr, "hint: %s\n", result.error().hint_text().c_str());
  }
  return 125;
}
