// judge RUNTIME IMAGE SCRIPT < INPUT: says what the script says of the input.
#include <iostream>
#include <iterator>

#include "judge.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: judge native|microvm IMAGE SCRIPT < INPUT\n";
    return 2;
  }
  auto runtime = trivet::Runtime::open({.runtime = argv[1], .engine = {}});
  if (!runtime) {
    std::cerr << "judge: " << runtime.error().message() << "\n"
              << runtime.error().hint_text() << "\n";
    return 1;
  }
  const std::string input{std::istreambuf_iterator<char>(std::cin), {}};
  auto verdict = judge(*runtime, argv[2], argv[3], input);
  if (!verdict) {
    std::cerr << "judge: " << verdict.error().message() << "\n";
    return 1;
  }
  std::cout << verdict->output;
  return verdict->exit_code;
}
