// RuntimeClasses, and kubectl to hand them to a cluster.
#include "base/process.h"
#include "base/text.h"
#include "trivet/install.h"

namespace trivet {

namespace {

constexpr const char* kHandlers[] = {"trivet", "trivet-microvm", "trivet-wasm"};

Result<std::string> kubectl(std::vector<std::string> arguments, const std::string& input) {
  arguments.insert(arguments.begin(), "kubectl");
  const auto output = run_program(arguments, {.stdin_text = input, .environment = {}});
  if (!output && output.error().code() == ErrorCode::kCommandNotFound) {
    return std::unexpected(Error(ErrorCode::kNotFound, "there is no kubectl")
                               .hint("`trivet install kubernetes > classes.yaml` writes what a "
                                     "cluster needs to a file"));
  }
  if (!output) return std::unexpected(output.error());
  if (!output->ok()) {
    return fail(ErrorCode::kSystem, "kubectl: exit code {}: {}", output->exit_code,
                trim(output->stderr_text));
  }
  return output->stdout_text;
}

}  // namespace

std::string runtime_class_manifests() {
  std::string text;
  for (const char* handler : kHandlers) {
    text += fmt::format(
        "---\napiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: {0}\n"
        "  labels:\n    app.kubernetes.io/managed-by: trivet\nhandler: {0}\n",
        handler);
  }
  return text;
}

Result<std::string> apply_runtime_classes() {
  return kubectl({"apply", "-f", "-"}, runtime_class_manifests());
}

Result<std::string> delete_runtime_classes() {
  return kubectl({"delete", "--ignore-not-found", "-f", "-"}, runtime_class_manifests());
}

}  // namespace trivet
