// Runs a program that nobody trusts in a container of its own.
#pragma once

#include <filesystem>
#include <string>

#include <trivet/runtime.h>

struct Verdict {
  int exit_code = 0;
  std::string output;
};

// Copies `script` into a new container of `image`, feeds it `input` and collects what it says, for
// ten seconds at most. Nothing of the container is left.
trivet::Result<Verdict> judge(const trivet::Runtime& runtime, const std::string& image,
                              const std::filesystem::path& script, const std::string& input);
