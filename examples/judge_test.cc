// What judge() does, without a container: a test that runs anywhere, in a millisecond.
#include "judge.h"

#include <cstdlib>
#include <iostream>
#include <memory>

#include <trivet/null_runtime.h>

namespace {

void check(const trivet::Result<>& result) {
  if (result) return;
  std::cerr << result.error().message() << "\n";
  std::exit(1);
}

void check(bool condition, const char* what) {
  if (condition) return;
  std::cerr << "not so: " << what << "\n";
  std::exit(1);
}

std::shared_ptr<trivet::NullRuntime> with_image() {
  auto null = std::make_shared<trivet::NullRuntime>();
  trivet::ImageInfo image;
  image.names = {"docker.io/library/busybox:latest"};
  null->add_image(image);
  return null;
}

void test_the_input_reaches_the_script() {
  auto null = with_image();
  null->on_exec("null-1", {"sh", "/script"},
                trivet::ExecScript().reads("3 4\n").reads_end().prints("7\n").exits(0));

  const auto verdict = judge(trivet::Runtime(null), "busybox", "/tmp/add.sh", "3 4\n");

  check(verdict && verdict->output == "7\n", "the script's output is the verdict's");
  check(null->verify());
  check(null->check_calls({"run sleep 60", "copy_in null-1 /tmp/add.sh /script",
                           "exec null-1 sh /script", "remove null-1 force"}));
}

void test_nothing_is_left_of_a_script_that_hangs() {
  auto null = with_image();
  null->on_exec("null-1", {"sh", "/script"}, trivet::ExecScript().prints("wait").hangs());

  const auto verdict = judge(trivet::Runtime(null), "busybox", "/tmp/loop.sh", "");

  check(!verdict && verdict.error().code() == trivet::ErrorCode::kTimeout, "it has timed out");
  check(trivet::Runtime(null).list()->empty(), "the container is gone");
}

}  // namespace

int main() {
  test_the_input_reaches_the_script();
  test_nothing_is_left_of_a_script_that_hangs();
  std::cout << "ok\n";
  return 0;
}
