// Calls of the podman program.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/child_streams.h"
#include "base/result.h"
#include "trivet/podman_runtime.h"

namespace trivet::backend {

// How long podman may take.
inline constexpr std::chrono::seconds kPodmanQuick{5};       // what reads no state
inline constexpr std::chrono::seconds kPodmanQuestion{30};   // what reads the store, locks and all
inline constexpr std::chrono::seconds kPodmanChange{60};     // what starts or removes
inline constexpr std::chrono::seconds kPodmanTransfer{120};  // what may pull or copy

// What podman has said of a failure, as an Error with our code. Only the last line that begins with
// "Error: " counts; nothing of that in it is kSystem.
[[nodiscard]] Error podman_error(std::string_view stderr_text);

class PodmanCli {
 public:
  explicit PodmanCli(PodmanOptions options) : options_(std::move(options)) {}

  // The whole command. kInvalidArgument when a word has a NUL byte.
  [[nodiscard]] Result<std::vector<std::string>> argv(const std::vector<std::string>& words) const;
  // What it prints on stdout; podman_error() when it ends with anything but 0.
  [[nodiscard]] Result<std::string> run(const std::vector<std::string>& words,
                                        std::chrono::seconds limit) const;
  // With streams, for as long as `limits` says: the exit code.
  [[nodiscard]] Result<int> stream(const std::vector<std::string>& words, const ExecCommand& limits,
                                   const ExecStdio& stdio, ChildHooks hooks = {}) const;

 private:
  PodmanOptions options_;
};

}  // namespace trivet::backend
