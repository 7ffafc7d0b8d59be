#include "payload/choose.h"

#include <array>
#include <optional>

#include "base/text.h"

namespace trivet::payload {

namespace {

struct Known {
  std::string_view name;
  Choice choice;
};

constexpr auto kIsolations = std::to_array<Known>({
    {"auto", {.isolation = Isolation::kNative, .by_program = true}},
    {"native", {.isolation = Isolation::kNative, .by_program = false}},
    {"microvm", {.isolation = Isolation::kMicrovm, .by_program = false}},
    {"wasm", {.isolation = Isolation::kWasm, .by_program = false}},
});

// crun(1), run.oci.handler: "wasm-smart" leaves the other containers of a pod, which share its
// annotations, as they are.
constexpr auto kHandlers = std::to_array<Known>({
    {"krun", {.isolation = Isolation::kMicrovm, .by_program = false}},
    {"wasm", {.isolation = Isolation::kWasm, .by_program = false}},
    {"wasm-smart", {.isolation = Isolation::kNative, .by_program = true}},
});

// The OCI Wasm artifacts' older form: an ordinary image that says that its program is Wasm.
constexpr auto kVariants = std::to_array<Known>({
    {"compat", {.isolation = Isolation::kWasm, .by_program = false}},
    {"compat-smart", {.isolation = Isolation::kNative, .by_program = true}},
});

constexpr auto kProgramNames = std::to_array<Known>({
    {"krun", {.isolation = Isolation::kMicrovm, .by_program = false}},
    {"crun-wasm", {.isolation = Isolation::kWasm, .by_program = false}},
});

template <size_t N>
std::optional<Choice> find(const std::array<Known, N>& known, std::string_view name) {
  for (const Known& entry : known) {
    if (entry.name == name) return entry.choice;
  }
  return std::nullopt;
}

template <size_t N>
std::vector<std::string> names_of(const std::array<Known, N>& known) {
  std::vector<std::string> names;
  for (const Known& entry : known) names.emplace_back(entry.name);
  return names;
}

template <size_t N>
Result<Choice> look_up(const std::array<Known, N>& known, const std::string& name,
                       std::string_view where) {
  if (const auto choice = find(known, name)) return *choice;
  return std::unexpected(
      Error(ErrorCode::kInvalidArgument, fmt::format("{}: unknown isolation \"{}\"", where, name))
          .hint(fmt::format("known are {}", join(names_of(known), ", "))));
}

// containerd's and CRI-O's marks of the container that holds a pod's namespaces.
bool is_pause_container(const std::map<std::string, std::string>& annotations) {
  for (const char* key :
       {"io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"}) {
    const auto entry = annotations.find(key);
    if (entry != annotations.end() && entry->second == "sandbox") return true;
  }
  return false;
}

}  // namespace

std::string_view isolation_name(Isolation isolation) {
  switch (isolation) {
    case Isolation::kMicrovm:
      return "microvm";
    case Isolation::kWasm:
      return "wasm";
    case Isolation::kNative:
      break;
  }
  return "native";
}

Isolation isolation_of(const std::map<std::string, std::string>& annotations) {
  const auto entry = annotations.find(kIsolationAnnotation);
  if (entry == annotations.end()) return Isolation::kNative;
  const auto choice = find(kIsolations, entry->second);
  return choice ? choice->isolation : Isolation::kNative;
}

std::vector<std::string> isolation_choices() {
  return names_of(kIsolations);
}

Result<Choice> choose(const ChoiceInputs& inputs) {
  const auto& annotations = inputs.annotations;
  if (is_pause_container(annotations)) return Choice{.by_program = false};
  if (!inputs.requested.empty()) return look_up(kIsolations, inputs.requested, "--isolation");
  if (const auto entry = annotations.find(kIsolationAnnotation); entry != annotations.end()) {
    return look_up(kIsolations, entry->second, kIsolationAnnotation);
  }
  if (const auto entry = annotations.find("run.oci.handler"); entry != annotations.end()) {
    return look_up(kHandlers, entry->second, "run.oci.handler");
  }
  if (const auto entry = annotations.find("module.wasm.image/variant");
      entry != annotations.end()) {
    if (const auto choice = find(kVariants, entry->second)) return *choice;
  }
  return find(kProgramNames, inputs.program_name).value_or(Choice{});
}

}  // namespace trivet::payload
