// Calls of libkrun's functions as words: the name of a function, its arguments, the next name… An
// argument "=NAME" is what function NAME returned; numbers are decimal, a MAC address is as people
// write it, and NULL is no pointer. trivet-vmm plans the words, trivet-krun makes the calls.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace trivet::krun {

struct Function {
  const char* name;
  const char* since;  // libkrun's version that has it first, and how that has to be built
  size_t arguments;
  // kInvalidArgument: a word that is no value of the parameter's type.
  Result<int32_t> (*call)(void* address, std::span<const std::string> words);
};

struct Call {
  const Function* function = nullptr;
  std::vector<std::string> arguments;
};

// kInvalidArgument: an unknown function, or too few words for its arguments.
Result<std::vector<Call>> parse_calls(std::span<const std::string> words);

// Looks up every function in a library of dlopen(3) and calls them in order. Errors name the
// function: kUnsupported when the library has none of that name, else what it returned.
// krun_start_enter does not come back unless it fails.
using Addresses = std::vector<void*>;
Result<Addresses> find_functions(void* library, std::span<const Call> calls);
Result<> make_calls(std::span<const Call> calls, const Addresses& addresses);

}  // namespace trivet::krun
