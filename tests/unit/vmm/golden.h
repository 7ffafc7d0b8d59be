// Texts of plans, compared with files in data/.
#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "vmm/vmm_plan.h"

namespace trivet::vmm {

// A line for each descriptor that the program gets.
inline std::string print_inherited(const VmmPlan& plan) {
  std::string text;
  for (const InheritedFd& inherited : plan.inherited) {
    text += fmt::format("{} is our {}\n", inherited.number, inherited.fd);
  }
  return text;
}

// With UPDATE_GOLDEN in the environment the files are written anew.
inline void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(TEST_DATA_DIR) + "/" + name;
  if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::stringstream expected;
  expected << std::ifstream(path).rdbuf();
  EXPECT_EQ(text, expected.str()) << name;
}

}  // namespace trivet::vmm
