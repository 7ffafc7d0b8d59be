#include "krun/calls.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <dlfcn.h>
#include <map>
#include <tuple>
#include <utility>

#include "base/text.h"
#include "krun/api.h"

namespace trivet::krun {

namespace {

// A parameter's value and what it points to.
template <typename Type>
struct Argument {
  Type value{};

  Result<> read(const std::string& word) {
    const int64_t number = TRY(parse_int(word));
    if (!std::in_range<Type>(number)) {
      return fail(ErrorCode::kInvalidArgument, "{} is out of range", number);
    }
    value = static_cast<Type>(number);
    return {};
  }
};

template <>
struct Argument<bool> {
  bool value = false;

  Result<> read(const std::string& word) {
    value = word == "true";
    if (value || word == "false") return {};
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is neither true nor false", word);
  }
};

template <>
struct Argument<const char*> {
  const char* value = nullptr;

  Result<> read(const std::string& word) {
    if (word != "NULL") value = word.c_str();
    return {};
  }
};

// Six bytes of a MAC address.
template <>
struct Argument<uint8_t*> {
  std::array<uint8_t, 6> bytes{};
  uint8_t* value = bytes.data();

  Result<> read(const std::string& word) {
    constexpr size_t kStride = 3;  // "52:"
    bool fits = word.size() == bytes.size() * kStride - 1;
    for (size_t i = 0; fits && i < bytes.size(); ++i) {
      const char* digits = word.data() + i * kStride;
      fits = std::from_chars(digits, digits + 2, bytes.at(i), 16).ptr == digits + 2 &&
             (i + 1 == bytes.size() || digits[2] == ':');
    }
    if (fits) return {};
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no MAC address", word);
  }
};

template <typename Type>
struct Caller;

template <typename... Types>
struct Caller<int32_t(Types...)> {
  static constexpr size_t kArguments = sizeof...(Types);

  static Result<int32_t> call(void* address, std::span<const std::string> words) {
    return call_with(address, words, std::index_sequence_for<Types...>{});
  }

 private:
  template <size_t... Index>
  static Result<int32_t> call_with(void* address,
                                   [[maybe_unused]] std::span<const std::string> words,
                                   std::index_sequence<Index...> /*indices*/) {
    std::tuple<Argument<Types>...> arguments;
    Result<> read;
    (void)(... && (read = std::get<Index>(arguments).read(words[Index])).has_value());
    if (!read) return std::unexpected(std::move(read).error());
    return reinterpret_cast<int32_t (*)(Types...)>(address)(std::get<Index>(arguments).value...);
  }
};

#define TRIVET_KRUN_FUNCTION(name, since)                                           \
  Function {                                                                        \
    #name, since, Caller<decltype(name)>::kArguments, &Caller<decltype(name)>::call \
  }

constexpr auto kFunctions = std::to_array<Function>({
    TRIVET_KRUN_FUNCTION(krun_init_log, "1.13"),
    TRIVET_KRUN_FUNCTION(krun_create_ctx, "1.0"),
    TRIVET_KRUN_FUNCTION(krun_set_vm_config, "1.0"),
    TRIVET_KRUN_FUNCTION(krun_set_kernel, "1.11"),
    TRIVET_KRUN_FUNCTION(krun_disable_implicit_console, "1.16"),
    TRIVET_KRUN_FUNCTION(krun_disable_implicit_vsock, "1.17"),
    TRIVET_KRUN_FUNCTION(krun_add_serial_console_default, "1.16"),
    TRIVET_KRUN_FUNCTION(krun_add_virtio_console_multiport, "1.17"),
    TRIVET_KRUN_FUNCTION(krun_add_console_port_inout, "1.17"),
    TRIVET_KRUN_FUNCTION(krun_add_disk2, "1.10, built with BLK=1"),
    TRIVET_KRUN_FUNCTION(krun_add_net_unixstream, "1.15, built with NET=1"),
    TRIVET_KRUN_FUNCTION(krun_start_enter, "1.0"),
});

// "=NAME" as what that function returned.
Result<std::string> resolve(const std::string& word,
                            const std::map<std::string, int32_t>& results) {
  if (!word.starts_with('=')) return word;
  const auto result = results.find(word.substr(1));
  if (result != results.end()) return fmt::format("{}", result->second);
  return fail(ErrorCode::kInvalidArgument, "\"{}\" has not been called", word.substr(1));
}

}  // namespace

Result<std::vector<Call>> parse_calls(std::span<const std::string> words) {
  std::vector<Call> calls;
  while (!words.empty()) {
    const std::string& name = words.front();
    const auto* function = std::ranges::find(kFunctions, name, &Function::name);
    if (function == kFunctions.end()) {
      return fail(ErrorCode::kInvalidArgument, "unknown function \"{}\"", name);
    }
    words = words.subspan(1);
    if (words.size() < function->arguments) {
      return fail(ErrorCode::kInvalidArgument, "{} has {} arguments", name, function->arguments);
    }
    const auto arguments = words.first(function->arguments);
    calls.push_back({.function = function, .arguments = {arguments.begin(), arguments.end()}});
    words = words.subspan(function->arguments);
  }
  return calls;
}

Result<Addresses> find_functions(void* library, std::span<const Call> calls) {
  Addresses addresses;
  for (const Call& call : calls) {
    addresses.push_back(dlsym(library, call.function->name));
    if (addresses.back() != nullptr) continue;
    return fail(ErrorCode::kUnsupported, "the library has no {}: that needs libkrun {}",
                call.function->name, call.function->since);
  }
  return addresses;
}

Result<> make_calls(std::span<const Call> calls, const Addresses& addresses) {
  std::map<std::string, int32_t> results;
  for (size_t i = 0; i < calls.size(); ++i) {
    const char* name = calls[i].function->name;
    std::vector<std::string> words;
    for (const std::string& word : calls[i].arguments) {
      words.push_back(TRY_IN(resolve(word, results), "{}", name));
    }
    const int32_t result = TRY_IN(calls[i].function->call(addresses[i], words), "{}", name);
    if (result < 0) return std::unexpected(Error::from_errno(-result, name));
    results[name] = result;
  }
  return {};
}

}  // namespace trivet::krun
