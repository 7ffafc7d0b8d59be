#include "wasm_host/invoke.h"

#include <charconv>

namespace trivet::wasm_host {

namespace {

template <typename T>
Result<T> parse(const std::string& word) {
  T value{};
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc{} || rest != end) {
    return fail(ErrorCode::kInvalidArgument, "\"{}\" is no such number", word);
  }
  return value;
}

Result<wasmtime::Val> parse_value(const wasmtime::ValType& type, const std::string& word) {
  if (type.is_i32()) return wasmtime::Val(TRY(parse<int32_t>(word)));
  if (type.is_i64()) return wasmtime::Val(TRY(parse<int64_t>(word)));
  if (type.is_f32()) return wasmtime::Val(TRY(parse<float>(word)));
  if (type.is_f64()) return wasmtime::Val(TRY(parse<double>(word)));
  return fail(ErrorCode::kUnsupported, "a parameter is no number");
}

}  // namespace

Result<std::vector<wasmtime::Val>> parse_values(wasmtime::FuncType type,
                                                std::span<const std::string> words) {
  const auto params = type->params();
  if (params.size() != words.size()) {
    return fail(ErrorCode::kInvalidArgument, "it takes {} arguments, not {}", params.size(),
                words.size());
  }
  std::vector<wasmtime::Val> values;
  for (const auto param : params) {
    const std::string& word = words[values.size()];
    values.push_back(
        TRY_IN(parse_value(wasmtime::ValType(param), word), "argument {}", values.size() + 1));
  }
  return values;
}

std::string print_values(std::span<const wasmtime::Val> values) {
  std::string text;
  for (const wasmtime::Val& value : values) {
    switch (value.kind()) {
      case wasmtime::ValKind::I32:
        text += fmt::format("{}\n", value.i32());
        break;
      case wasmtime::ValKind::I64:
        text += fmt::format("{}\n", value.i64());
        break;
      case wasmtime::ValKind::F32:
        text += fmt::format("{}\n", value.f32());
        break;
      case wasmtime::ValKind::F64:
        text += fmt::format("{}\n", value.f64());
        break;
      default:
        text += "(no number)\n";
    }
  }
  return text;
}

}  // namespace trivet::wasm_host
